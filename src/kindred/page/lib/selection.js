/**
 * A selection of images, which grids show and change: by click, Shift, Ctrl or Cmd, a long press, or the keyboard.
 *
 * `Selection` holds the ids; `makeSelectable` lets a grid (lib/grid.js) change it. A view gives `tick` to what the grid
 * draws over an image, and `describe` to its accessible name.
 */

import { announce } from "./announce.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

const LONG_PRESS = 450; // milliseconds
const STILL = 10; // px that a finger may move meanwhile

export class Selection {
  constructor() {
    /** @type {Set<string>} */
    this.ids = new Set();
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** The image from which a range extends. */
    this.anchor = "";
  }

  get size() {
    return this.ids.size;
  }

  /** @param {string} id */
  has(id) {
    return this.ids.has(id);
  }

  /** Select an image or take it out of the selection. */
  toggle(id) {
    if (!this.ids.delete(id)) this.ids.add(id);
    this.anchor = id;
    this.#changed();
  }

  /**
   * Select everything between the last image that was chosen and this one.
   * @param {string} id
   * @param {ArrayLike<string>} order the ids as they are shown
   */
  extend(id, order) {
    const from = Array.prototype.indexOf.call(order, this.anchor);
    const to = Array.prototype.indexOf.call(order, id);
    if (to < 0) return;
    const [first, last] = from < 0 ? [to, to] : [Math.min(from, to), Math.max(from, to)];
    for (let at = first; at <= last; at += 1) this.ids.add(order[at]);
    if (from < 0) this.anchor = id;
    this.#changed();
  }

  /** Select all of these. @param {Iterable<string>} ids */
  add(ids) {
    for (const id of ids) this.ids.add(id);
    this.#changed();
  }

  /** Take these out, such as images that were removed. @param {Iterable<string>} ids */
  drop(ids) {
    for (const id of ids) this.ids.delete(id);
    this.#changed();
  }

  clear() {
    this.ids.clear();
    this.anchor = "";
    this.#changed();
  }

  /** Be called after each change. @returns {() => void} ends it */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  #changed() {
    for (const listener of [...this.listeners]) listener();
  }
}

/**
 * The mark over an image that selects it.
 * @param {Selection} selection
 * @param {string} id
 * @param {string} name of the image
 */
export function tick(selection, id, name) {
  const chosen = selection.has(id);
  return h("button", {
    class: "tile-tick", type: "button", role: "checkbox", "aria-checked": String(chosen), "aria-label": `Select ${name}`,
    data: { action: "tick", id },
  }, icon("check"));
}

/** The accessible name of an image, with whether it is selected. */
export function describe(selection, id, name) {
  return selection.has(id) ? `${name}, selected` : name;
}

/**
 * Let a grid change a selection. While something is selected, a click selects instead of opening.
 * @param {import("./grid.js").Grid} grid
 * @param {Selection} selection
 * @returns {{key: (event: KeyboardEvent, index: number, id: string) => boolean, stop: () => void}}
 *   key: to be called by the grid's own `key`
 */
export function makeSelectable(grid, selection) {
  const { element } = grid;
  const ended = new AbortController();
  const on = (name, listener, capture = false) => element.addEventListener(name, listener, { signal: ended.signal, capture });
  let timer = 0;
  let pressed = null; // where a finger went down
  let held = false; // a long press has selected; the click that follows is none
  element.setAttribute("aria-multiselectable", "true");
  element.classList.add("selectable");
  const unlisten = selection.listen(draw);
  on("click", clicked, true);
  on("pointerdown", down);
  on("pointermove", moved);
  for (const name of ["pointerup", "pointercancel"]) on(name, () => clearTimeout(timer));
  on("contextmenu", (event) => held && event.preventDefault());
  // A button is pressed when Space is released; here Space selects.
  on("keyup", (event) => event.key === " " && event.target.closest(".tile") && event.preventDefault());
  on("keydown", keydown);
  draw();
  return {
    key,
    stop() {
      clearTimeout(timer);
      ended.abort();
      unlisten();
    },
  };

  function draw() {
    grid.refresh();
    element.classList.toggle("selecting", selection.size > 0);
  }

  function clicked(event) {
    const cell = event.target.closest(".cell");
    if (!cell || (event.target.closest("button, a") !== cell.querySelector(".tile") && !event.target.closest(".tile-tick"))) return;
    const chosen = event.target.closest(".tile-tick") || event.shiftKey || event.ctrlKey || event.metaKey || selection.size > 0;
    if (!chosen && !held) return;
    event.stopPropagation();
    event.preventDefault();
    if (!held) choose(cell.dataset.id, event.shiftKey);
    held = false;
  }

  function choose(id, range) {
    if (range && selection.anchor) selection.extend(id, grid.images.ids);
    else selection.toggle(id);
    say(id);
  }

  function say(id) {
    announce(`${selection.has(id) ? "Selected" : "Not selected"}, ${selection.size} in all`);
  }

  function down(event) {
    clearTimeout(timer);
    held = false;
    const cell = event.target.closest(".cell");
    if (event.pointerType !== "touch" || !event.isPrimary || !cell || event.target.closest(".tile-tick")) return;
    pressed = { x: event.clientX, y: event.clientY };
    timer = setTimeout(() => {
      held = true;
      navigator.vibrate?.(15);
      choose(cell.dataset.id, false);
    }, LONG_PRESS);
  }

  function moved(event) {
    if (pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > STILL) clearTimeout(timer);
  }

  /** Keys of one image: Space selects, with Shift from the last one; Shift and an arrow go on selecting. */
  function key(event, index, id) {
    if (event.key === " " && event.target.closest(".tile")) {
      choose(id, event.shiftKey);
      return true;
    }
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!event.shiftKey || step === undefined) return false;
    const next = grid.images.ids[index + step];
    if (next === undefined) return true;
    if (!selection.anchor) selection.toggle(id);
    selection.extend(next, grid.images.ids);
    grid.goTo(index + step);
    say(next);
    return true;
  }

  /** Ctrl or Cmd and A selects everything, Escape nothing. */
  function keydown(event) {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "a") {
      event.preventDefault();
      selection.add(Array.from(grid.images.ids));
      announce(`${selection.size} selected`);
    } else if (event.key === "Escape" && selection.size > 0) {
      event.preventDefault();
      selection.clear();
      announce("Nothing selected");
    }
  }
}
