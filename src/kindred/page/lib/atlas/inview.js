/**
 * The list beside the map: the images in view, or those chosen, for keys and screen readers as well as for the eye.
 * One of them is in the order of tabs; arrows move among them.
 */

import { fill, h, put } from "../dom.js";
import { icon } from "../icons.js";
import { count, dateText, nameOf } from "../images.js";

const AT_ONCE = 60; // records fetched with one request

/**
 * @param {{
 *   label: string,
 *   source: (at: number) => string,
 *   fetch: (at: number[]) => Promise<import("../images.js").Image[]>,
 *   idOf: (at: number) => string,
 *   chosen: (at: number) => boolean,
 *   open: (at: number) => void, toggle: (at: number) => void, all: () => void, similar: (at: number) => void,
 *   focused: (at: number) => void,
 * }} options all: choose all in the list
 */
export function createInView(options) {
  /** @type {Map<number, any>} */
  const items = new Map();
  const records = new Map();
  const asked = new Set();
  let order = [];
  let active = -1;
  const list = h("ul", { class: "inview", role: "listbox", "aria-label": options.label, "aria-multiselectable": "true", on: { keydown, focusin, focusout, click } });
  return { element: list, show, choose, records };

  /** Show images; those that are there already stay, with their focus. @param {number[]} images */
  function show(images) {
    const held = list.contains(document.activeElement) ? active : -1;
    order = held >= 0 && !images.includes(held) ? [held, ...images] : images;
    const wanted = new Set(order);
    for (const [at, item] of items) {
      if (wanted.has(at)) continue;
      item.remove();
      items.delete(at);
    }
    let after = null;
    for (const at of order) {
      if (!items.has(at)) items.set(at, option(at));
      const item = items.get(at);
      if ((after ? after.nextSibling : list.firstChild) !== item) list.insertBefore(item, after ? after.nextSibling : list.firstChild);
      after = item;
    }
    if (!wanted.has(active)) active = order[0] ?? -1;
    for (const [at, item] of items) item.tabIndex = at === active ? 0 : -1;
    choose();
    void describe();
  }

  /** Mark which images are chosen. */
  function choose() {
    for (const [at, item] of items) item.setAttribute("aria-selected", String(options.chosen(at)));
  }

  function option(at) {
    const image = h("img", { src: options.source(at), alt: "", loading: "lazy", decoding: "async", draggable: "false" });
    image.addEventListener("error", () => item.classList.add("inview-lost"), { once: true });
    const item = h("li", { class: "inview-item", role: "option", "aria-label": "Image", data: { at } }, image, h("span", { class: "inview-check" }, icon("check")));
    if (records.has(at)) name(item, records.get(at));
    return item;
  }

  function name(item, record) {
    const words = [nameOf(record.path), dateText(record.taken)];
    put(item, { "aria-label": words.filter(Boolean).join(", "), title: words[0] });
  }

  async function describe() {
    const missing = order.filter((at) => !records.has(at) && !asked.has(at)).slice(0, AT_ONCE);
    if (missing.length === 0) return;
    for (const at of missing) asked.add(at);
    try {
      const byId = new Map(missing.map((at) => [options.idOf(at), at]));
      for (const record of await options.fetch(missing)) {
        const at = byId.get(record.id);
        records.set(at, record);
        if (items.has(at)) name(items.get(at), record);
      }
    } catch {
      for (const at of missing) asked.delete(at);
      return;
    }
    await describe();
  }

  function focusAt(at) {
    const item = items.get(at);
    if (!item) return;
    items.get(active)?.setAttribute("tabindex", "-1");
    active = at;
    item.tabIndex = 0;
    item.focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest" });
  }

  function atOf(target) {
    const item = target.closest?.(".inview-item");
    return item ? Number(item.dataset.at) : -1;
  }

  function focusin(event) {
    const at = atOf(event.target);
    if (at < 0) return;
    active = at;
    options.focused(at);
  }

  function focusout(event) {
    if (!list.contains(event.relatedTarget)) options.focused(-1);
  }

  function click(event) {
    const at = atOf(event.target);
    if (at < 0) return;
    focusAt(at);
    if (event.target.closest(".inview-check") || event.ctrlKey || event.metaKey || event.shiftKey) options.toggle(at);
    else options.open(at);
  }

  function keydown(event) {
    const at = order.indexOf(active);
    if (at < 0) return;
    const across = columns();
    const moves = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -order.length, End: order.length,
      PageUp: -4 * across, PageDown: 4 * across,
    };
    const move = moves[event.key];
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a") options.all();
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (move !== undefined) {
      const to = at + move;
      const next = Math.abs(move) === across && across > 1 && (to < 0 || to >= order.length) ? at : Math.max(0, Math.min(order.length - 1, to));
      if (event.shiftKey && next !== at && !options.chosen(order[at])) options.toggle(order[at]);
      focusAt(order[next]);
      if (event.shiftKey && next !== at && !options.chosen(order[next])) options.toggle(order[next]);
    } else if (event.key === "Enter") options.open(active);
    else if (event.key === " ") options.toggle(active);
    else if (event.key === "s") options.similar(active);
    else return;
    event.preventDefault();
  }

  function columns() {
    const [first, second] = [order[0], order[1]].map((at) => items.get(at)?.offsetTop);
    if (second === undefined || second !== first) return 1;
    let across = 0;
    for (const at of order) {
      if (items.get(at).offsetTop !== first) break;
      across += 1;
    }
    return across;
  }
}
