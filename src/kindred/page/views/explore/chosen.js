/** What can be done with the images chosen on the map: search with them, tag, export. */

import { askText, openDialog } from "../../lib/dialog.js";
import { fill, h, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count } from "../../lib/images.js";
import { toast, toastError } from "../../lib/toast.js";

const FORMATS = [
  ["csv", "CSV", "a table: path, date, size, tags"],
  ["json", "JSON", "the same, for programs"],
  ["zip", "Zip", "the image files themselves"],
];

/**
 * @param {import("../../app.js").Context} context
 * @param {{search: () => void, ids: () => string[], clear: () => void, frame: () => void, changed: () => void}} options
 */
export function createChosen({ api, library }, { search, ids, clear, frame, changed }) {
  const words = h("p", { class: "chosen-text" });
  const button = (name, text, run, more) => h("button", { class: ["button button-small", more], type: "button", on: { click: run } }, icon(name), text);
  const element = h("section", { class: "chosen", "aria-label": "Chosen images", hidden: true },
    h("div", { class: "spread" }, words, h("button", { class: "icon-button", type: "button", "aria-label": "Choose none", title: "Choose none", on: { click: clear } }, icon("close"))),
    h("div", { class: "row" }, button("search", "Search with these", search, "button-primary"), button("fit", "Zoom to", frame),
      !library.read_only && button("tag", "Tag", () => void tag()), button("download", "Export", () => void save())));
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
      toast(`${count(some.length, "image")} tagged “${name}”.`, { kind: "good", action: { label: "Undo", run: () => void change({ remove: [name] }).catch(toastError) } });
    } catch (error) {
      toastError(error);
    }
  }

  async function save() {
    const some = ids();
    const name = uid("format");
    const formats = FORMATS.map(([value, label, note], at) => h("label", { class: "choice" },
      h("input", { type: "radio", name, value, checked: at === 0 }), h("span", null, label, h("span", { class: "soft small" }, ` ${note}`))));
    const content = h("fieldset", { class: "field" }, h("legend", null, "As"), formats);
    const actions = [{ label: "Cancel", value: "" }, { label: "Export", value: "yes", kind: "primary" }];
    if ((await openDialog({ title: `Export ${count(some.length, "image")}`, content, actions }).closed) !== "yes") return;
    try {
      const format = content.querySelector(`input[name="${name}"]:checked`).value;
      const { address, name: fileName } = await api.post("/export", { ids: some, format, link: true });
      api.follow(address, fileName);
    } catch (error) {
      toastError(error);
    }
  }
}
