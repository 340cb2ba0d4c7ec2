/** Images that were removed from the library and can be added again. */

import { fill, h } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count } from "../../lib/images.js";
import { toastError } from "../../lib/toast.js";

const WHEN = new Intl.DateTimeFormat(undefined, { timeStyle: "short", dateStyle: "medium" });

/**
 * @param {import("../../app.js").Context} context
 * @param {import("./jobs.js").Jobs} jobs
 */
export function createRemoved({ api, library }, jobs) {
  const list = h("ul", { class: "folders" });
  const element = h("section", { class: "panel card", "aria-labelledby": "removed-title", hidden: true },
    h("h2", { id: "removed-title" }, "Removed from the library"), h("p", { class: "soft small" }, "The files are still on the disk."), list);
  return { element, draw };

  async function draw() {
    try {
      const { removals } = await api.get("/removals");
      element.hidden = removals.length === 0 || library.read_only;
      fill(list, removals.map(row));
    } catch (error) {
      if (!api.aborted(error)) toastError(error);
    }
  }

  function row({ id, images, names, at }) {
    const more = images > names.length ? ` and ${count(images - names.length, "other")}` : "";
    return h("li", { class: "folder" }, icon("trash"),
      h("div", { class: "folder-text" }, h("span", { class: "folder-name" }, count(images, "image")),
        h("span", { class: "soft tiny clip" }, names.join(", ") + more), h("span", { class: "soft small" }, WHEN.format(new Date(at)))),
      h("button", { class: "button", type: "button", disabled: jobs.running("restore"), "aria-label": `Undo: add ${count(images, "image")} again`, on: { click: () => void undo(id) } }, "Undo"));
  }

  async function undo(id) {
    try {
      jobs.add(await api.post(`/removals/${id}/undo`, {}), { focus: true });
    } catch (error) {
      toastError(error);
    }
  }
}
