/** The row between the query and the answers: filter, order, options, saved searches, export. */

import { fill, h } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { menuButton } from "../../lib/menu.js";
import { SORTS } from "./browse.js";
import { createFilters } from "./filters.js";
import { createOptions } from "./options.js";
import { createSaved } from "./saved.js";
import { isSearch } from "./state.js";

const SEARCH_SORTS = [["", "Most alike first"], ["newest", "Newest first"], ["oldest", "Oldest first"]];

/**
 * @param {import("../../app.js").Context} context
 * @param {{change: (changes: Record<string, unknown>) => void, exported: () => void}} options
 */
export function createToolbar(context, { change, exported }) {
  /** @type {import("./state.js").State} */
  let state;
  const filters = createFilters(context, ({ folder, tags, from, to, where }) => change({ folder, tag: tags, from, to, where }));
  const options = createOptions(context, change);
  const saved = createSaved(context, () => isSearch(state));
  const sort = menuButton({ label: "Order", icon: "sort", text: "Order", items: () => sorts().map(([value, label]) =>
    ({ label, checked: (state.sort || "") === value, run: () => change({ sort: value || null }) })) });
  const sortText = sort.querySelector("button > span");
  const exportButton = h("button", { class: "button", type: "button", on: { click: exported } }, icon("download"), h("span", null, "Export"));
  const tools = h("div", { class: "toolbar-tools" }, filters.button, sort, options.button, saved.button, exportButton);
  const element = h("div", { class: "toolbar" }, tools, filters.chips);

  return {
    element,
    /** @param {import("./state.js").State} now */
    show(now) {
      state = now;
      filters.show(now.filter);
      options.show(now);
      const [, label] = sorts().find(([value]) => value === now.sort) ?? sorts()[0];
      fill(sortText, label);
      sort.querySelector("button").setAttribute("aria-label", `Order: ${label}`);
      options.button.hidden = !isSearch(now);
      exportButton.hidden = !isSearch(now);
    },
    /** @param {boolean} some whether there is anything to export */
    canExport(some) {
      exportButton.disabled = !some;
    },
  };

  function sorts() {
    return isSearch(state) ? SEARCH_SORTS : SORTS;
  }
}
