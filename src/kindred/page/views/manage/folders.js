/** The folders of the library, and updating it from them. */

import { fill, h, isolated, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count, folderOf, nameOf, pathText } from "../../lib/images.js";
import { toastError } from "../../lib/toast.js";

/**
 * @param {import("../../app.js").Context} context
 * @param {import("./jobs.js").Jobs} jobs
 */
export function createFolders({ api, library, router }, jobs) {
  const list = h("ul", { class: "folders" });
  const all = h("button", { class: "button button-primary", type: "button", on: { click: () => void update(null) } }, icon("refresh"), "Update all");
  const prune = h("input", { type: "checkbox", role: "switch", id: uid("prune") });
  const choice = h("label", { class: "switch switch-wide", for: prune.id },
    h("span", { class: "switch-text" }, "Remove images whose files are gone",
      h("span", { class: "soft small" }, "From the library only. Nothing is removed if it looks as if a drive were missing.")), prune);
  const element = h("section", { class: "panel card", "aria-labelledby": "folders-title" },
    h("div", { class: "spread" }, h("h2", { id: "folders-title" }, "Folders"), !library.read_only && all), list, !library.read_only && choice);
  return { element, draw };

  function draw() {
    const busy = jobs.running("index");
    const held = document.activeElement?.dataset?.folder;
    all.hidden = library.folders.length < 2;
    all.disabled = busy;
    choice.hidden = library.folders.length === 0;
    if (library.folders.length === 0) {
      return fill(list, h("li", { class: "soft" }, "No folder has been added yet. Allow one when starting the server: ", h("code", null, "kindred serve --folder DIR")));
    }
    fill(list, library.folders.map((folder) => row(folder, busy)));
    if (held) list.querySelector(`[data-folder="${held}"]`)?.focus();
  }

  function row({ id, path, images, missing }, busy) {
    const facts = missing ? "not found: is its drive connected?" : images === 0 ? "not added yet" : count(images, "image");
    const label = images === 0 ? "Add" : "Update";
    return h("li", { class: "folder" }, icon("folder"),
      h("div", { class: "folder-text" },
        h("a", { class: "folder-name", href: router.href("manage", { part: "images", folder: path }), title: path }, isolated(nameOf(path))),
        h("span", { class: "soft tiny clip", title: path }, pathText(folderOf(path))), h("span", { class: ["small numbers", missing ? "folder-missing" : "soft"] }, facts)),
      !library.read_only && h("button", {
        class: "button", type: "button", disabled: busy || missing, "aria-label": `${label} ${nameOf(path)}`, data: { folder: id }, on: { click: () => void update(id) },
      }, label));
  }

  async function update(folder) {
    try {
      const job = await api.post("/jobs/index", { folder, prune: prune.checked ? "gone" : "keep" });
      jobs.add(job, { focus: true });
    } catch (error) {
      toastError(error);
    }
  }
}
