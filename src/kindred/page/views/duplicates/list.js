/** The list of groups: rows of one height, of which only those in view exist, so that any number of groups is smooth. */

import { h, isolated } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count, nameOf } from "../../lib/images.js";
import { ScaledScroll } from "../../lib/scaled.js";
import { percentText } from "./facts.js";
import { isDecided } from "./groups.js";
import { KINDS } from "./settings.js";

const ROW = 76; // px, as in the style sheet
const SPARE = 4; // rows above and below what is in view
const THUMBNAILS = 4;
const TITLES = Object.fromEntries(KINDS.map(([name, title]) => [name, title]));

/**
 * @param {{api: typeof import("../../lib/api.js")}} context
 * @param {{groups: import("./groups.js").Groups, choose: (at: number, options?: {open?: boolean}) => void, tags: () => string[]}} options
 *   choose: a group was chosen, and opened if it was pressed
 */
export function createList({ api }, { groups, choose, tags }) {
  /** @type {Map<number, {element: HTMLElement, key: string}>} */
  const rows = new Map();
  const sizer = h("div", { class: "groups-sizer", role: "presentation" });
  const element = h("div", {
    class: "groups-list", role: "listbox", tabindex: 0, "aria-label": "Groups", on: { scroll: () => scrolled(), keydown, click: pressed },
  }, sizer);
  let scaled = new ScaledScroll(0, 1);
  let current = -1;
  const resized = new ResizeObserver(() => draw());
  resized.observe(element);
  return { element, draw: refresh, update: draw, select, destroy: () => resized.disconnect() };

  /** Draw again after the groups have changed. */
  function refresh() {
    for (const { element: row } of rows.values()) row.remove();
    rows.clear();
    draw();
  }

  function draw() {
    const view = Math.max(1, element.clientHeight);
    if (scaled.total !== groups.total * ROW || scaled.view !== view) {
      const before = scaled.position;
      scaled = new ScaledScroll(groups.total * ROW, view);
      sizer.style.setProperty("height", `${scaled.height}px`);
      element.scrollTop = scaled.to(before);
    }
    const first = Math.max(0, Math.floor(scaled.position / ROW) - SPARE);
    const last = Math.min(groups.total, Math.ceil((scaled.position + view) / ROW) + SPARE);
    for (const [at, { element: row }] of rows) {
      if (at >= first && at < last) continue;
      row.remove();
      rows.delete(at);
    }
    for (let at = first; at < last; at += 1) place(at);
    mark();
  }

  function place(at) {
    const group = groups.at(at);
    const key = group?.key ?? "";
    let row = rows.get(at);
    if (row && row.key !== key) {
      row.element.remove();
      row = undefined;
    }
    if (!row) {
      row = { key, element: group ? filled(group, at) : h("div", { class: "group-row group-row-empty", role: "option", "aria-selected": "false", "aria-label": "Loading" }) };
      row.element.id = `group-${at}`;
      row.element.setAttribute("aria-setsize", String(groups.total));
      row.element.setAttribute("aria-posinset", String(at + 1));
      rows.set(at, row);
      sizer.append(row.element);
    }
    row.element.style.setProperty("top", `${at * ROW - scaled.offset}px`);
  }

  function filled(group, at) {
    const { images, kind, score } = group;
    const shown = images.slice(0, images.length > THUMBNAILS ? THUMBNAILS - 1 : THUMBNAILS);
    const likeness = kind === "same_bytes" || kind === "same_shot" ? "" : percentText(score);
    return h("div", { class: "group-row", role: "option", "aria-selected": "false", data: { at } },
      h("span", { class: "group-thumbs", "aria-hidden": "true" },
        shown.map(({ id }) => h("img", { src: api.thumbnail(id, 128), alt: "", loading: "lazy", decoding: "async", draggable: "false" })),
        images.length > shown.length && h("span", { class: "group-more numbers" }, `+${images.length - shown.length}`)),
      h("span", { class: "group-text" },
        h("span", { class: "group-kind" }, TITLES[kind], likeness && h("span", { class: "soft numbers" }, likeness)),
        h("span", { class: "soft tiny clip" }, `${count(images.length, "image")} · `, isolated(nameOf(images[0].path)))),
      isDecided(group, tags()) && h("span", { class: "group-decided", title: "Decided" }, icon("check"), h("span", { class: "visually-hidden" }, "decided")));
  }

  function mark() {
    for (const [at, { element: row }] of rows) row.setAttribute("aria-selected", String(at === current));
    if (rows.has(current)) element.setAttribute("aria-activedescendant", `group-${current}`);
    else element.removeAttribute("aria-activedescendant");
  }

  /** Show which group is chosen, and bring it into view. @param {number} at */
  function select(at) {
    const moved = at !== current;
    current = at;
    if (at >= 0 && moved) {
      const view = element.clientHeight;
      if (at * ROW < scaled.position) element.scrollTop = scaled.to(at * ROW);
      else if ((at + 1) * ROW > scaled.position + view) element.scrollTop = scaled.to((at + 1) * ROW - view);
    }
    draw();
  }

  function scrolled() {
    const to = scaled.moved(element.scrollTop);
    if (to !== element.scrollTop) element.scrollTop = to;
    draw();
  }

  function pressed(event) {
    const at = event.target.closest("[data-at]")?.dataset.at;
    if (at !== undefined) choose(Number(at), { open: true });
  }

  function keydown(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const page = Math.max(1, Math.floor(element.clientHeight / ROW) - 1);
    const to = {
      ArrowDown: current + 1, ArrowUp: current - 1, PageDown: current + page, PageUp: current - page, Home: 0, End: groups.total - 1,
    }[event.key];
    if (to === undefined || groups.total === 0) return;
    event.preventDefault();
    event.stopPropagation();
    choose(Math.max(0, Math.min(groups.total - 1, to)));
  }
}
