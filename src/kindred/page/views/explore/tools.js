/** The tools on the map: method, colours, thumbnails, lasso, zoom. */

import { h, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { panelButton } from "../../lib/menu.js";

const COLOURS = { folder: "Folder", tag: "Tag", day: "Date", none: "One colour" };

/**
 * @param {{
 *   facts: any, state: () => {wanted: number, thumbnails: boolean},
 *   zoomIn: () => void, zoomOut: () => void, fit: () => void, lasso: (on: boolean) => void, colourBy: (name: string) => void,
 *   set: (options: {wanted?: number, thumbnails?: boolean}) => void, method: (name: string, options?: {anew?: boolean}) => void,
 * }} options
 */
export function createTools(options) {
  const { facts } = options;
  const id = uid("colour");
  const tags = facts.columns.find(({ name }) => name === "tag")?.groups ?? [];
  const choices = Object.entries(COLOURS).filter(([name]) => name !== "tag" || tags.length > 0);
  const select = h("select", { id, class: "select", on: { change: () => options.colourBy(select.value) } }, choices.map(([name, text]) => h("option", { value: name }, text)));
  const lasso = h("button", {
    class: "button", type: "button", "aria-pressed": "false", title: "Draw around images to choose them (or hold Shift and drag)",
    on: { click: () => pressLasso() },
  }, icon("lasso"), h("span", { class: "tool-text" }, "Choose"));
  const view = panelButton({ label: "View", icon: "filter", text: "View", content: settings });
  const tool = (label, name, run) => h("button", { class: "icon-button", type: "button", "aria-label": label, title: label, on: { click: run } }, icon(name));
  const top = h("div", { class: "map-tools" }, lasso, h("label", { class: "map-colour", for: id }, h("span", { class: "tool-text soft small" }, "Colour by"), select), view);
  const zoom = h("div", { class: "map-zoom", role: "group", "aria-label": "Zoom" },
    tool("Zoom in", "plus", options.zoomIn), tool("Zoom out", "minus", options.zoomOut), tool("Show the whole map", "fit", options.fit));
  return { elements: [top, zoom], colour: (name) => (select.value = name), lassoOff: () => lasso.getAttribute("aria-pressed") === "true" && pressLasso() };

  function pressLasso() {
    const on = lasso.getAttribute("aria-pressed") !== "true";
    lasso.setAttribute("aria-pressed", String(on));
    options.lasso(on);
  }

  function settings(close) {
    const state = options.state();
    const size = h("input", { type: "range", id: uid("size"), min: 24, max: 144, step: 4, value: state.wanted, on: { input } });
    const shown = h("input", { type: "checkbox", role: "switch", checked: state.thumbnails, on: { change } });
    const name = uid("method");
    const methods = facts.methods.map((method) => h("label", { class: "method" },
      h("input", { type: "radio", name, value: method.name, checked: method.name === facts.method, on: { change: () => { close(); options.method(method.name); } } }),
      h("span", { class: "method-text" }, h("strong", null, method.title), h("span", { class: "soft small" }, method.summary))));
    const placed = facts.mapped < facts.images && h("p", { class: "soft tiny" },
      `${facts.mapped.toLocaleString()} images were mapped by the method itself, the others placed by those most like them.`);
    return h("div", { class: "stack" },
      h("label", { class: "switch switch-wide" }, h("span", null, "Thumbnails"), shown),
      h("div", { class: "field" }, h("label", { for: size.id }, "Size of thumbnails"), size),
      h("fieldset", { class: "field" }, h("legend", null, "Arranged by"), methods), placed,
      h("button", { class: "button button-small", type: "button", on: { click: () => { close(); options.method(facts.method, { anew: true }); } } }, icon("refresh"), "Arrange anew"));

    function input() {
      options.set({ wanted: Number(size.value) });
    }

    function change() {
      options.set({ thumbnails: shown.checked });
    }
  }
}
