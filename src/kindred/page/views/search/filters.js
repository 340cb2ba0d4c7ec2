/** Filters by folder, tag, date and metadata: a panel to set them, and chips that show and remove them. */

import { fill, h, suggestions, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { dateText, nameOf } from "../../lib/images.js";
import { panelButton } from "../../lib/menu.js";
import { isFiltered } from "./state.js";

const OPERATORS = [["=", "is"], ["!=", "is not"], ["<", "is below"], ["<=", "is at most"], [">", "is above"], [">=", "is at least"]];
const MANY_TAGS = 12;

/**
 * @typedef {import("./state.js").Filter} Filter
 * @param {import("../../app.js").Context} context
 * @param {(filter: Filter) => void} change
 */
export function createFilters({ library }, change) {
  /** @type {Filter} */
  let filter = { folder: "", tags: [], from: "", to: "", where: [] };
  const chips = h("ul", { class: "chips", "aria-label": "Filters in use" });
  const button = panelButton({ label: "Filter", icon: "filter", text: "Filter", content: panel });

  return {
    button,
    chips,
    /** @param {Filter} now */
    show(now) {
      filter = now;
      chips.hidden = !isFiltered(now);
      fill(chips, described().map(({ text, sign, without }) => h("li", { class: "chip chip-remove" }, icon(sign), h("span", { class: "clip" }, text),
        h("button", { type: "button", "aria-label": `Remove the filter ${text}`, on: { click: () => change({ ...filter, ...without }) } }, icon("close")))),
      isFiltered(now) && h("li", null, h("button", { class: "button button-quiet button-small", type: "button", on: { click: clear } }, "Clear filters")));
    },
  };

  function clear() {
    change({ folder: "", tags: [], from: "", to: "", where: [] });
  }

  function described() {
    const { folder, tags, from, to, where } = filter;
    return [
      folder && { text: nameOf(folder), sign: "folder", without: { folder: "" } },
      ...tags.map((tag) => ({ text: tag, sign: "tag", without: { tags: tags.filter((other) => other !== tag) } })),
      (from || to) && { text: span(from, to), sign: "calendar", without: { from: "", to: "" } },
      ...where.map((each) => ({ text: each, sign: "info", without: { where: where.filter((other) => other !== each) } })),
    ].filter(Boolean);
  }

  function panel(close) {
    const id = uid("filter");
    const apply = (changes) => change({ ...filter, ...changes });
    const folders = suggestions(`${id}-folders`, library.roots ?? []);
    const folder = h("input", { class: "input", id: `${id}-folder`, value: filter.folder, list: folders.id, placeholder: "Any folder", autocomplete: "off", spellcheck: "false" });
    const dates = ["from", "to"].map((edge) => h("input", { class: "input", type: "date", id: `${id}-${edge}`, value: filter[edge] }));
    const dateField = (at, text) => h("div", { class: "field" }, h("label", { for: dates[at].id }, text), dates[at]);
    const submit = (event) => {
      event.preventDefault();
      const chosen = [...form.querySelectorAll("input[name=tag]:checked")].map(({ value }) => value);
      const condition = metadata.value();
      apply({
        folder: folder.value.trim(), tags: chosen, from: dates[0].value, to: dates[1].value,
        where: condition ? [...filter.where, condition] : filter.where,
      });
      close();
    };
    const metadata = conditionFields(Object.keys(library.metadata ?? {}));
    const form = h("form", { class: "stack", on: { submit } },
      h("div", { class: "field" }, h("label", { for: folder.id }, "Folder"), folder, folders),
      tagFields(library.tags ?? {}, filter.tags),
      h("div", { class: "filter-dates" }, dateField(0, "From"), dateField(1, "Until")),
      metadata.element,
      h("div", { class: "row filter-foot" },
        h("button", { class: "button button-quiet", type: "button", on: { click: () => { clear(); close(); } } }, "Clear"),
        h("button", { class: "button button-primary", type: "submit" }, "Apply")));
    return form;
  }
}

function tagFields(tags, chosen) {
  const names = [...new Set([...chosen, ...Object.keys(tags)])];
  if (names.length === 0) return null;
  const entries = names.map((name) => h("label", { class: "choice", data: { name: name.toLowerCase() } },
    h("input", { type: "checkbox", name: "tag", value: name, checked: chosen.includes(name) }),
    h("span", { class: "clip" }, name), h("span", { class: "soft tiny numbers" }, tags[name] ?? 0)));
  const narrow = (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const entry of entries) entry.hidden = !entry.dataset.name.includes(wanted);
  };
  return h("fieldset", { class: "field" }, h("legend", null, "Tags"),
    names.length > MANY_TAGS && h("input", { class: "input", type: "search", placeholder: "Find a tag", "aria-label": "Find a tag", on: { input: narrow } }),
    h("div", { class: "filter-tags" }, entries));
}

function conditionFields(keys) {
  if (keys.length === 0) return { element: null, value: () => "" };
  const key = h("select", { class: "select", "aria-label": "Field" }, h("option", { value: "" }, "Any"), keys.map((name) => h("option", { value: name }, name)));
  const operator = h("select", { class: "select", "aria-label": "Comparison" }, OPERATORS.map(([value, text]) => h("option", { value }, text)));
  const value = h("input", { class: "input", "aria-label": "Value", placeholder: "Value", autocomplete: "off" });
  const element = h("fieldset", { class: "field" }, h("legend", null, "Metadata"), h("div", { class: "filter-condition" }, key, operator, value));
  return { element, value: () => (key.value && value.value.trim() ? `${key.value}${operator.value}${value.value.trim()}` : "") };
}

function span(from, to) {
  if (from && to) return from === to ? dateText(from) : `${dateText(from)} to ${dateText(to)}`;
  return from ? `from ${dateText(from)}` : `until ${dateText(to)}`;
}
