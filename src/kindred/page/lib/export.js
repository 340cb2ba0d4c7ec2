/** Export of images: a list as CSV or JSON, or their files as a zip. */

import { openDialog } from "./dialog.js";
import { h, uid } from "./dom.js";
import { toastError } from "./toast.js";

const FORMATS = [
  ["csv", "CSV", "a table: path, date, size, tags"],
  ["json", "JSON", "the same, for programs"],
  ["zip", "Zip", "the image files themselves"],
];

/**
 * Ask for a format, and which images if there is a choice, and export them.
 * @param {{api: typeof import("./api.js")}} context
 * @param {{title: string, parts: {ids: string[], label?: string, note?: string}[]}} what parts: the first is proposed; a
 *   single one without a label is not asked for
 * @returns {Promise<number>} how many were exported; 0 if the dialog was dismissed or the export failed
 */
export async function openExport({ api }, { title, parts }) {
  const name = uid("export");
  const radio = (group, value, checked, label, note) => h("label", { class: "choice" },
    h("input", { type: "radio", name: `${name}-${group}`, value, checked }), h("span", null, label, note && h("span", { class: "soft small" }, ` ${note}`)));
  const which = parts[0].label && h("fieldset", { class: "field" }, h("legend", null, "Which"),
    parts.map(({ label, note }, at) => radio("part", at, at === 0, label, note)));
  const formats = h("fieldset", { class: "field" }, h("legend", null, "As"), FORMATS.map(([value, label, note], at) => radio("format", value, at === 0, label, note)));
  const content = h("div", { class: "stack" }, which, formats);
  const actions = [{ label: "Cancel", value: "" }, { label: "Export", value: "yes", kind: "primary" }];
  if ((await openDialog({ title, content, actions }).closed) !== "yes") return 0;
  const chosen = (group) => content.querySelector(`input[name="${name}-${group}"]:checked`)?.value;
  const { ids } = parts[Number(chosen("part") ?? 0)];
  return (await exportImages(api, ids, chosen("format"))) ? ids.length : 0;
}

/**
 * Download images in a format: csv, json or zip.
 * @param {typeof import("./api.js")} api
 * @returns {Promise<boolean>} whether the download could be begun
 */
export async function exportImages(api, ids, format) {
  try {
    // An address of its own, so that a large zip is not held in the page's memory.
    const { address, name } = await api.post("/export", { ids, format, link: true });
    api.follow(address, name);
    return true;
  } catch (error) {
    toastError(error);
    return false;
  }
}
