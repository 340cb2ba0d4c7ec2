/** What can be done with the images chosen on the map: search with them, tag, export. */

import { askText } from "../../lib/dialog.js";
import { fill, h, isolated } from "../../lib/dom.js";
import { openExport } from "../../lib/export.js";
import { icon } from "../../lib/icons.js";
import { count } from "../../lib/images.js";
import { toast, toastError } from "../../lib/toast.js";

/**
 * @param {import("../../app.js").Context} context
 * @param {{search: () => void, ids: () => string[], clear: () => void, frame: () => void, changed: () => void}} options
 */
export function createChosen(context, { search, ids, clear, frame, changed }) {
  const { api, library } = context;
  const words = h("p", { class: "chosen-text" });
  const button = (name, text, run, more) => h("button", { class: ["button button-small", more], type: "button", on: { click: run } }, icon(name), text);
  const element = h("section", { class: "chosen", "aria-label": "Chosen images", hidden: true },
    h("div", { class: "spread" }, words, h("button", { class: "icon-button", type: "button", "aria-label": "Choose none", title: "Choose none", on: { click: clear } }, icon("close"))),
    h("div", { class: "row" }, button("search", "Search with these", search, "button-primary"), button("fit", "Zoom to", frame),
      !library.read_only && button("tag", "Tag", () => void tag()), button("download", "Export", () => void exported())));
  return { element, show };

  function show(number) {
    element.hidden = number === 0;
    fill(words, h("strong", null, count(number, "image")), " chosen");
  }

  async function tag() {
    const some = ids();
    const name = await askText({ title: `Tag ${count(some.length, "image")}`, label: "Tag", action: "Add the tag", list: Object.keys(library.tags ?? {}) });
    if (!name) return;
    const change = async (body) => {
      await api.post("/images/tags", { ids: some, ...body });
      await library.reload();
      changed();
    };
    try {
      await change({ add: [name] });
      toast([`${count(some.length, "image")} tagged “`, isolated(name), "”."], { kind: "good", action: { label: "Undo", run: () => void change({ remove: [name] }).catch(toastError) } });
    } catch (error) {
      toastError(error);
    }
  }

  async function exported() {
    const some = ids();
    await openExport(context, { title: `Export ${count(some.length, "image")}`, parts: [{ ids: some }] });
  }
}
