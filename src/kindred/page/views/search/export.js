/** Export of answers: a list as CSV or JSON, or their files as a zip. */

import { openDialog } from "../../lib/dialog.js";
import { h, uid } from "../../lib/dom.js";
import { count } from "../../lib/images.js";
import { toast, toastError } from "../../lib/toast.js";

const FORMATS = [
  ["csv", "CSV", "a table: path, date, size, tags, probability"],
  ["json", "JSON", "the same, for programs"],
  ["zip", "Zip", "the image files themselves"],
];

/**
 * @param {import("../../app.js").Context} context
 * @param {{above: string[], all: string[]}} answers ids above the line, and all that are shown
 */
export async function openExport({ api }, { above, all }) {
  const name = uid("export");
  const radio = (group, value, checked, label, note) => h("label", { class: "choice" },
    h("input", { type: "radio", name: `${name}-${group}`, value, checked }), h("span", null, label, note && h("span", { class: "soft small" }, ` ${note}`)));
  const parts = h("fieldset", { class: "field" }, h("legend", null, "Which"),
    above.length > 0 && radio("part", "above", true, count(above.length, "image"), "above the line"),
    all.length > above.length && radio("part", "all", above.length === 0, `All ${count(all.length, "image")}`, "now shown"));
  const formats = h("fieldset", { class: "field" }, h("legend", null, "As"), FORMATS.map(([value, label, note], at) => radio("format", value, at === 0, label, note)));
  const content = h("div", { class: "stack" }, parts, formats);
  const dialog = openDialog({ title: "Export answers", content, actions: [{ label: "Cancel", value: "" }, { label: "Export", value: "yes", kind: "primary" }] });
  if ((await dialog.closed) !== "yes") return;
  const chosen = (group) => content.querySelector(`input[name="${name}-${group}"]:checked`)?.value;
  const ids = chosen("part") === "all" ? all : above;
  const format = chosen("format") ?? "csv";
  try {
    // An address of its own, so that a large zip is not held in the page's memory.
    const { address, name: fileName } = await api.post("/export", { ids, format, link: true });
    api.follow(address, fileName);
    toast(`${count(ids.length, "image")} exported.`, { kind: "good" });
  } catch (error) {
    toastError(error);
  }
}
