/** The dialog that edits metadata of images: one row for each field, set or removed for all of them. */

import { openDialog } from "../../lib/dialog.js";
import { fill, h, suggestions, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count } from "../../lib/images.js";
import { toastError } from "../../lib/toast.js";
import { changeAll, MOST_RECORDS, recordsOf } from "./records.js";

const KEY = /^[\p{L}_][\p{L}\p{N}_.:-]*$/u;
const NUMBER = /^[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?$/;
const SEVERAL = "several values";

/**
 * A value as the API takes it: a number if it looks like one, otherwise text. Quotes make text of a number.
 * @param {string} text
 * @returns {string | number}
 */
export function valueOf(text) {
  const plain = text.trim();
  if (/^"[^]*"$/.test(plain) && plain.length > 1) return plain.slice(1, -1);
  return NUMBER.test(plain) && Number.isFinite(Number(plain)) ? Number(plain) : plain;
}

/** The text of a value to edit; text that looks like a number is quoted. @param {unknown} value */
export function textOf(value) {
  return typeof value === "string" && NUMBER.test(value.trim()) ? `"${value}"` : String(value);
}

/**
 * @param {import("../../app.js").Context} context
 * @param {string[]} ids
 * @returns {Promise<boolean>} whether anything has changed
 */
export async function openMetadata(context, ids) {
  const { api, library } = context;
  const some = ids.slice(0, MOST_RECORDS);
  /** @type {{key: string, before: string | null, field: any, removed: boolean}[]} before: null for a new field or several values */
  const rows = [];
  const list = h("ul", { class: "meta-rows" });
  const id = uid("meta");
  const keys = suggestions(`${id}-keys`, Object.keys(library.metadata));
  const key = h("input", { class: "input", id: `${id}-key`, list: keys.id, autocomplete: "off", maxlength: 100, spellcheck: "false", on: { keydown: enter, input: () => say("") } });
  const value = h("input", { class: "input", id: `${id}-value`, autocomplete: "off", maxlength: 10_000, on: { keydown: enter } });
  const add = h("button", { class: "icon-button", type: "button", "aria-label": "Add this field", on: { click: added } }, icon("plus"));
  const wrong = h("p", { class: "field-wrong small", role: "alert", hidden: true });
  const form = h("fieldset", { class: "field" }, h("legend", null, "Add a field"), h("div", { class: "meta-new" },
    h("div", { class: "field" }, h("label", { class: "soft small", for: key.id }, "Name"), key, keys),
    h("div", { class: "field" }, h("label", { class: "soft small", for: value.id }, "Value"), value), add), wrong);
  const hint = h("p", { class: "soft small" }, "Numbers and dates such as 2024-01-31 can be compared in filters; quotes make text of a number.",
    ids.length > some.length && ` The fields of the first ${count(some.length, "image")} are listed; changes are made to all.`);
  const content = h("div", { class: "stack" }, list, form, hint);
  const dialog = openDialog({ title: `Metadata of ${count(ids.length, "image")}`, content, actions: [{ label: "Cancel", value: "" }, { label: "Apply", value: "yes", kind: "primary" }] });
  try {
    for (const [name, texts] of fieldsOf(await recordsOf(api, some))) rows.push(row(name, texts));
    draw();
  } catch (error) {
    toastError(error);
  }
  (rows[0]?.field ?? key).focus();
  if ((await dialog.closed) !== "yes") return false;
  if (key.value.trim() && !added()) return openMetadata({ api, library }, ids);
  return apply();

  /** Every field with its different values as text; "" stands for images without it. */
  function fieldsOf(images) {
    const fields = new Map();
    for (const { metadata } of images) for (const name of Object.keys(metadata)) fields.set(name, new Set());
    for (const { metadata } of images) for (const [name, texts] of fields) texts.add(name in metadata ? textOf(metadata[name]) : "");
    return [...fields].sort(([a], [b]) => a.localeCompare(b));
  }

  function row(name, texts) {
    const one = texts.size === 1;
    const field = h("input", { class: "input", id: uid("meta"), value: one ? [...texts][0] : "", placeholder: one ? "" : SEVERAL, autocomplete: "off", maxlength: 10_000, on: { keydown: enter } });
    return { key: name, before: one ? [...texts][0] : null, field, removed: false };
  }

  function draw() {
    list.hidden = rows.length === 0;
    fill(list, rows.map((each) => {
      const label = h("label", { class: "clip", for: each.field.id, title: each.key }, each.key);
      const put = () => {
        each.removed = !each.removed;
        draw();
        list.querySelector(`[data-key="${CSS.escape(each.key)}"]`)?.focus();
      };
      each.field.disabled = each.removed;
      return h("li", { class: each.removed && "meta-removed" }, label, each.field, h("button", {
        class: "icon-button", type: "button", "aria-label": each.removed ? `Keep ${each.key}` : `Remove ${each.key}`, title: each.removed ? "Keep" : "Remove",
        data: { key: each.key }, on: { click: put },
      }, icon(each.removed ? "refresh" : "trash")));
    }));
  }

  function enter(event) {
    if (event.key !== "Enter" || (event.target !== key && event.target !== value)) return;
    event.preventDefault(); // In the other fields, Enter applies.
    added();
  }

  function added() {
    const name = key.value.trim();
    if (!KEY.test(name)) {
      say(name ? `${name} cannot be a name: letters, digits and _ . : - only, beginning with a letter.` : "Give the field a name.");
      key.focus();
      return false;
    }
    const known = rows.find((each) => each.key === name);
    const each = known ?? { key: name, before: null, field: h("input", { class: "input", id: uid("meta"), autocomplete: "off", maxlength: 10_000, on: { keydown: enter } }), removed: false };
    each.removed = false;
    each.field.value = value.value;
    if (!known) rows.push(each);
    key.value = "";
    value.value = "";
    draw();
    key.focus();
    return true;
  }

  function say(text) {
    wrong.hidden = !text;
    fill(wrong, text);
  }

  async function apply() {
    const unset = rows.filter(({ removed }) => removed).map(({ key: name }) => name);
    const changed = rows.filter(({ removed, field, before }) => !removed && field.value.trim() !== "" && field.value !== before);
    const emptied = rows.filter(({ removed, field, before }) => !removed && field.value.trim() === "" && before).map(({ key: name }) => name);
    const set = Object.fromEntries(changed.map(({ key: name, field }) => [name, valueOf(field.value)]));
    if (changed.length + unset.length + emptied.length === 0) return false;
    try {
      await changeAll(context, "/images/metadata", { ids, name: "Metadata", set, unset: [...unset, ...emptied] });
    } catch (error) {
      toastError(error);
    }
    return true;
  }
}
