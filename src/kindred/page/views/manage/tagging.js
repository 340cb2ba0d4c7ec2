/** The dialog that adds tags to images and removes tags from them. */

import { announce } from "../../lib/announce.js";
import { openDialog } from "../../lib/dialog.js";
import { fill, h, suggestions, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count } from "../../lib/images.js";
import { toastError } from "../../lib/toast.js";
import { changeAll, MOST_RECORDS, recordsOf } from "./records.js";

/**
 * @param {import("../../app.js").Context} context
 * @param {string[]} ids
 * @returns {Promise<boolean>} whether anything has changed
 */
export async function openTagging(context, ids) {
  const { api, library } = context;
  /** @type {Map<string, number>} how many of the images have each tag */
  const had = new Map();
  /** @type {Map<string, boolean>} tags to add (true) and to remove (false) */
  const wanted = new Map();
  const some = ids.slice(0, MOST_RECORDS);
  const id = uid("tag");
  const names = suggestions(`${id}-list`, Object.keys(library.tags));
  const field = h("input", { class: "input", id, list: names.id, autocomplete: "off", maxlength: 200, autofocus: true, on: { keydown } });
  const add = h("button", { class: "icon-button", type: "button", "aria-label": "Add this tag", on: { click: added } }, icon("plus"));
  const list = h("ul", { class: "tag-choices", "aria-label": "Tags of these images" });
  const note = ids.length > some.length && h("p", { class: "soft small" }, `The tags of the first ${count(some.length, "image")} are listed; changes are made to all.`);
  const content = h("div", { class: "stack" }, h("div", { class: "field" }, h("label", { for: id }, "Add a tag"), h("div", { class: "tag-form" }, field, names, add)), list, note);
  const dialog = openDialog({ title: `Tags of ${count(ids.length, "image")}`, content, actions: [{ label: "Cancel", value: "" }, { label: "Apply", value: "yes", kind: "primary" }] });
  try {
    for (const { tags } of await recordsOf(api, some)) for (const tag of tags) had.set(tag, (had.get(tag) ?? 0) + 1);
    draw();
  } catch (error) {
    toastError(error);
  }
  if ((await dialog.closed) !== "yes") return false;
  added();
  return apply();

  function keydown(event) {
    if (event.key !== "Enter" || !field.value.trim()) return;
    event.preventDefault(); // Without a tag, Enter applies.
    added();
  }

  function added() {
    const tag = field.value.trim();
    field.value = "";
    if (!tag) return;
    wanted.set(tag, true);
    draw();
    announce(`${tag} will be added`);
  }

  function draw() {
    const tags = [...new Set([...had.keys(), ...wanted.keys()])].sort((a, b) => a.localeCompare(b));
    fill(list, tags.map(row));
    list.hidden = tags.length === 0;
  }

  /** Of a tag that only some have, the box is in between until one decides. */
  function row(tag) {
    const number = had.get(tag) ?? 0;
    const all = number === some.length;
    const box = h("input", { type: "checkbox", checked: wanted.get(tag) ?? all, indeterminate: !wanted.has(tag) && number > 0 && !all, on: { change: () => decided(tag, box.checked, all, number) } });
    return h("li", null, h("label", { class: "choice" }, box, h("span", { class: "clip" }, tag),
      h("span", { class: "soft small numbers" }, all ? "all" : number > 0 ? `${number.toLocaleString()} of ${some.length.toLocaleString()}` : "new")));
  }

  function decided(tag, on, all, number) {
    if (on === all && (all || number === 0)) wanted.delete(tag);
    else wanted.set(tag, on);
    if (!wanted.has(tag) && number === 0) draw();
  }

  async function apply() {
    const chosen = (on) => [...wanted].filter(([, each]) => each === on).map(([tag]) => tag);
    const [more, fewer] = [chosen(true), chosen(false)];
    if (more.length + fewer.length === 0) return false;
    try {
      await changeAll(context, "/images/tags", { ids, name: "Tags", add: more, remove: fewer });
    } catch (error) {
      toastError(error);
    }
    return true;
  }
}
