/** All tags of the library: how many images have each, other names, removal. */

import { announce } from "../../lib/announce.js";
import { askText, confirmed } from "../../lib/dialog.js";
import { fill, h, isolated } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count } from "../../lib/images.js";
import { menuButton } from "../../lib/menu.js";
import { toastError } from "../../lib/toast.js";

const MANY = 12;

/** @param {import("../../app.js").Context} context */
export function createTags({ api, library, router }) {
  const find = h("input", { class: "input", type: "search", placeholder: "Find a tag", "aria-label": "Find a tag", on: { input: draw } });
  const list = h("ul", { class: "tag-table" });
  const empty = h("div", { class: "empty" }, icon("tag"), h("h2", null, "No tags yet"), h("p", null, "Select images and give them tags, or tag an image in its large view."));
  const element = h("section", { class: "manage-tags", "aria-label": "Tags" }, find, list, empty);
  draw();
  return { element, show: () => void refresh(), stop: () => {} };

  async function refresh() {
    await library.reload();
    draw();
  }

  function draw() {
    const tags = Object.entries(library.tags);
    const wanted = find.value.trim().toLowerCase();
    const shown = tags.filter(([name]) => name.toLowerCase().includes(wanted));
    find.hidden = tags.length <= MANY;
    empty.hidden = tags.length > 0;
    list.hidden = tags.length === 0;
    fill(list, shown.map(([name, number]) => row(name, number)), shown.length === 0 && tags.length > 0 && h("li", { class: "soft" }, "No tag has this name."));
  }

  function row(name, number) {
    const menu = menuButton({ label: `Change ${name}`, icon: "more", items: () => [
      { label: "Rename", icon: "tag", run: () => void rename(name) },
      { label: "Remove from all images", icon: "trash", run: () => void remove(name, number) },
    ] });
    menu.dataset.tag = name;
    return h("li", { class: "tag-row" },
      h("a", { class: "tag-link", href: router.href("manage", { part: "images", tag: name }) }, icon("tag"), h("span", { class: "clip" }, name)),
      h("span", { class: "soft numbers small" }, count(number, "image")), !library.read_only && menu);
  }

  async function rename(name) {
    const to = await askText({ title: "Rename a tag", label: ["New name of “", isolated(name), "”"], action: "Rename", value: name, list: Object.keys(library.tags) });
    if (!to || to === name) return focusOn(name);
    if (to in library.tags && !(await confirmed({ title: "Join two tags?", action: "Join", text: ["There is a tag “", isolated(to), "” already. The images of both will have it, and “", isolated(name), "” will be gone."] }))) return focusOn(name);
    await change("/tags/rename", { tag: name, to }, ({ tagged }) => `${name} is now ${to}, on ${count(tagged, "image")}`);
    focusOn(to);
  }

  async function remove(name, number) {
    const yes = await confirmed({ title: ["Remove the tag “", isolated(name), "”?"], action: "Remove", danger: true, text: `${count(number, "image")} will no longer have it. The images themselves stay.` });
    if (!yes) return focusOn(name);
    await change("/tags/remove", { tag: name }, ({ untagged }) => `${name} removed from ${count(untagged, "image")}`);
    focusOn(Object.keys(library.tags)[0] ?? "");
  }

  async function change(path, body, text) {
    try {
      announce(text(await api.post(path, body)));
      await refresh();
    } catch (error) {
      toastError(error);
    }
  }

  /** The rows are drawn anew, so the focus goes back by name. */
  function focusOn(name) {
    list.querySelector(`[data-tag="${CSS.escape(name)}"] button`)?.focus();
  }
}
