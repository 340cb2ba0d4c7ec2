/**
 * A windowed grid of justified rows: only the rows in view are in the document, however many images there are.
 *
 * The page itself scrolls. Focus and scroll position are kept by the image's id: when the window is resized or images
 * are added or taken away, the image that was at the top edge stays there. One image can be tabbed to; arrow keys,
 * Home, End, PageUp and PageDown move, Enter opens.
 *
 * @typedef {{ids: string[], aspects: ArrayLike<number>, count: number, breaks?: number[]}} Images
 * @typedef {{
 *   label: string,
 *   source: (id: string, pixels: number) => string,
 *   describe: (index: number, id: string) => string,
 *   decorate?: (index: number, id: string) => import("./dom.js").Child,
 *   heading?: (section: number) => import("./dom.js").Child,
 *   open: (index: number, id: string) => void,
 *   key?: (event: KeyboardEvent, index: number, id: string) => boolean,
 *   near?: () => void,
 *   target?: () => number,
 * }} Options
 *   source: address of a thumbnail whose longer side is shown so many px long; describe: accessible name; decorate: what lies over the
 *   image; heading: header of a section; key: returns whether it handled the key; near: the end is near, load more
 */

import { fill, h, put } from "./dom.js";
import { moveBy } from "./gridkeys.js";
import { justify, placesOf, rowAt, rowOf } from "./justified.js";
import { ScaledScroll } from "./scaled.js";

const HEADER = 52; // Height of a section's header in px.
const FAST = 3; // Windows a scroll event: beyond, thumbnails wait until the scrolling slows.

export class Grid {
  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    /** @type {Images} */
    this.images = { ids: [], aspects: [], count: 0 };
    this.element = h("div", { class: "grid", role: "grid", "aria-label": options.label, on: {
      keydown: (event) => this.#keydown(event),
      focusin: (event) => this.#focused(event),
      click: (event) => this.#clicked(event),
    } });
    this.layout = justify([], { width: 1, target: 1, gap: 1 });
    this.scroll = new ScaledScroll(0, 1);
    this.active = 0;
    this.atEnd = false; // End was pressed and nothing since: images that come later move the focus to the last one.
    /** @type {Map<number, HTMLElement>} rows in the document */
    this.rows = new Map();
    /** @type {Map<string, HTMLElement>} cells in the document, by image */
    this.cells = new Map();
    this.stop = new AbortController();
    const signal = this.stop.signal;
    addEventListener("scroll", () => this.#scrolled(), { passive: true, signal });
    addEventListener("resize", () => this.#laidOut(), { signal });
    for (const name of ["wheel", "pointerdown"]) addEventListener(name, () => { this.atEnd = false; }, { passive: true, signal });
    this.watcher = new ResizeObserver(() => this.#laidOut());
    this.watcher.observe(this.element);
    this.width = 0;
    /** @type {{anchor: {id: string, hidden: number}, position: number} | null} */
    this.held = null;
  }

  /** Take the grid away. */
  destroy() {
    this.stop.abort();
    this.watcher.disconnect();
    clearTimeout(this.slow);
    cancelAnimationFrame(this.frame);
    this.element.remove();
  }

  /**
   * Show these images; those that stay keep their place in the window and the focus.
   * @param {Images} images
   */
  show(images) {
    const focused = this.images.ids[this.active];
    const anchor = this.#anchor();
    this.images = images;
    const at = focused === undefined ? -1 : this.indexOf(focused);
    this.active = at >= 0 ? at : Math.min(this.active, Math.max(0, images.count - 1));
    this.width = 0;
    this.#laidOut(anchor);
    if (this.atEnd && this.element.contains(document.activeElement)) this.goTo(images.count - 1);
  }

  /** Draw again what lies over the images in view. */
  refresh() {
    for (const [id, cell] of this.cells) this.#decorate(cell, Number(cell.dataset.index), id);
  }

  /** The place of an image; −1 if it is not in the grid. */
  indexOf(id) {
    const near = this.images.ids[this.active] === id ? this.active : -1;
    return near >= 0 ? near : this.images.ids.indexOf(id);
  }

  /**
   * Scroll to an image and, unless told not to, give it the focus.
   * @param {number} index
   * @param {{focus?: boolean}} [options]
   */
  goTo(index, { focus = true } = {}) {
    if (index < 0 || index >= this.images.count) return;
    this.active = index;
    this.#reveal(index);
    this.#draw();
    for (const cell of this.cells.values()) this.#tabbable(cell);
    if (focus) this.cells.get(this.images.ids[index])?.querySelector(".tile")?.focus({ preventScroll: true });
  }

  /* ---- layout ---- */

  #top() {
    return this.element.getBoundingClientRect().top + scrollY;
  }

  /** The parts of the window that bars cover. */
  #insets() {
    const style = getComputedStyle(document.documentElement);
    const covered = Number.parseFloat(style.getPropertyValue("--covered")) || Number.parseFloat(style.getPropertyValue("--bar"));
    return { above: covered + 8, below: (document.querySelector(".bar nav")?.offsetHeight ?? 0) * (innerWidth < 640 ? 1 : 0) + 8 };
  }

  /** The image at the top edge, and the share of its row that lies above the edge. */
  #anchor() {
    const y = this.scroll.position;
    if (this.layout.rows === 0 || scrollY <= this.#top() || !this.element.isConnected) return null;
    // Several resizes in a row (a window being dragged) hold on to the same image.
    if (this.held && Math.abs(this.held.position - y) < 2) return this.held.anchor;
    const { above } = this.#insets();
    const row = rowAt(this.layout, y + above);
    const id = this.images.ids[this.layout.starts[row]];
    return id === undefined ? null : { id, hidden: (y + above - this.layout.tops[row]) / this.layout.heights[row] };
  }

  #laidOut(anchor = this.#anchor()) {
    this.element.hidden = this.images.count === 0;
    const width = this.element.clientWidth;
    if (this.images.count === 0) this.#empty();
    if (width === 0 || (width === this.width && innerHeight === this.scroll.view)) return;
    const { images } = this;
    const { aspects, count, breaks } = images;
    const target = this.options.target?.() ?? (width < 600 ? 132 : width < 1800 ? 208 : 248);
    const gap = width < 600 ? 3 : 6;
    const position = this.scroll.position;
    this.width = width;
    this.layout = justify(aspects, { width, target, gap, count, breaks, header: HEADER });
    this.scroll = new ScaledScroll(this.layout.total, innerHeight);
    this.element.style.setProperty("height", `${this.scroll.height}px`);
    this.element.setAttribute("aria-rowcount", String(this.layout.rows));
    const held = this.element.contains(document.activeElement);
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    const at = anchor ? this.images.ids.indexOf(anchor.id) : -1;
    if (at >= 0) this.#hold(anchor, rowOf(this.layout, at));
    else if (anchor) this.#to(position);
    else this.scroll.moved(this.#within());
    this.#draw(held);
    for (const [id, cell] of this.cells) if (!cell.isConnected) this.cells.delete(id);
    if (held) this.cells.get(images.ids[this.active])?.querySelector(".tile")?.focus({ preventScroll: true });
  }

  #hold(anchor, row) {
    this.#to(this.layout.tops[row] + anchor.hidden * this.layout.heights[row] - this.#insets().above);
    this.held = { anchor, position: this.scroll.position };
  }

  #empty() {
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.cells.clear();
    this.layout = justify([], { width: 1, target: 1, gap: 1 });
    this.scroll = new ScaledScroll(0, innerHeight);
    this.width = 0;
  }

  /** Where the window is within the element, as far as the element reaches. */
  #within() {
    return Math.max(0, Math.min(scrollY - this.#top(), Math.max(0, this.scroll.height - innerHeight)));
  }

  #to(position) {
    scrollTo({ top: this.#top() + this.scroll.to(position), behavior: "instant" });
  }

  #reveal(index) {
    const row = rowOf(this.layout, index);
    const { above, below } = this.#insets();
    const top = this.layout.tops[row] - this.scroll.offset + this.#top();
    const bottom = top + this.layout.heights[row];
    if (top - above < scrollY) this.#scrollBy(top - above - scrollY);
    else if (bottom + below > scrollY + innerHeight) this.#scrollBy(bottom + below - scrollY - innerHeight);
  }

  /** Scroll by a distance in the content, which may lie beyond the pages now laid out. */
  #scrollBy(distance) {
    const position = this.scroll.position + distance;
    const reaches = this.scroll.total > this.scroll.height && position > 0;
    if (reaches) this.#to(position);
    else scrollBy({ top: distance, behavior: "instant" });
    if (!reaches) this.scroll.moved(this.#within());
  }

  #scrolled() {
    if (!this.element.isConnected || this.layout.rows === 0) return;
    const y = this.#within();
    const fast = Math.abs(y - this.scroll.last) > innerHeight * FAST;
    const wanted = this.scroll.moved(y);
    if (wanted !== y) scrollBy({ top: wanted - y, behavior: "instant" });
    clearTimeout(this.slow);
    if (fast) this.waiting = true;
    this.slow = setTimeout(() => this.#slowed(), 90);
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.#draw());
  }

  #slowed() {
    this.waiting = false;
    for (const image of this.element.querySelectorAll("img[data-src]")) loadNow(image);
  }

  /* ---- drawing ---- */

  #draw(held = this.element.contains(document.activeElement)) {
    const { layout, scroll, images } = this;
    if (layout.rows === 0) return this.#clear();
    const y = scroll.position;
    const above = scrollY - this.#top();
    if (above + innerHeight < -innerHeight || above > scroll.height + innerHeight) return this.#clear();
    const from = rowAt(layout, y - innerHeight * 0.6);
    const to = rowAt(layout, y + innerHeight * 1.6);
    const kept = new Set();
    for (let row = from; row <= to; row += 1) kept.add(row);
    // The row that has the focus stays, wherever one scrolls with the mouse.
    if (held) kept.add(rowOf(layout, this.active));
    for (const [row, element] of this.rows) if (!kept.has(row)) this.#dropRow(row, element);
    for (const row of kept) this.#place(row);
    if (to >= layout.rows - 2 && images.count > 0) this.options.near?.();
  }

  #clear() {
    if (this.element.contains(document.activeElement)) return;
    for (const [row, element] of this.rows) this.#dropRow(row, element);
  }

  #dropRow(row, element) {
    for (const cell of element.querySelectorAll(".cell")) {
      if (this.cells.get(cell.dataset.id) === cell) this.cells.delete(cell.dataset.id);
      cell.querySelector("img")?.removeAttribute("src");
    }
    element.remove();
    this.rows.delete(row);
  }

  #place(row) {
    const { layout } = this;
    const y = layout.tops[row] - this.scroll.offset;
    let element = this.rows.get(row);
    if (!element) {
      element = this.#row(row);
      this.rows.set(row, element);
      // In order, since screen readers and Tab follow the document.
      const after = [...this.element.children].find((other) => Number(other.dataset.row) > row);
      this.element.insertBefore(element, after ?? null);
    }
    element.style.setProperty("transform", `translateY(${y}px)`);
  }

  #row(row) {
    const { layout, images } = this;
    const cells = h("div", { role: "row", "aria-rowindex": row + 1 });
    const element = h("div", { class: "grid-row", role: "presentation", data: { row } }, this.#heading(row), cells);
    const height = layout.heights[row];
    for (const { index, left, width } of placesOf(layout, images.aspects, row)) {
      const cell = this.#cell(index, Math.max(height, width));
      for (const [name, value] of [["left", left], ["width", width], ["height", height]]) cell.style.setProperty(name, `${value}px`);
      cell.setAttribute("aria-colindex", String(index - layout.starts[row] + 1));
      cells.append(cell);
    }
    return element;
  }

  /** The header of the section that begins with a row; a row of its own to screen readers. */
  #heading(row) {
    const section = this.images.breaks?.indexOf(this.layout.starts[row]) ?? -1;
    if (section < 0) return null;
    return h("div", { class: "grid-heading", role: "row" }, h("div", { role: "gridcell" }, this.options.heading?.(section)));
  }

  #cell(index, pixels) {
    const id = this.images.ids[index];
    const known = this.cells.get(id);
    if (known) {
      // An image that was in view already is moved, not loaded again.
      known.dataset.index = index;
      this.#decorate(known, index, id);
      this.#tabbable(known);
      return known;
    }
    const image = h("img", { alt: "", decoding: "async", draggable: "true", data: { id } });
    const source = this.options.source(id, pixels);
    if (this.waiting) image.dataset.src = source;
    else image.src = source;
    image.addEventListener("load", () => image.classList.add("loaded"), { once: true });
    image.addEventListener("error", () => image.closest(".cell")?.classList.add("cell-broken"), { once: true });
    const tile = h("button", { class: "tile", type: "button" }, image);
    const cell = h("div", { class: "cell", role: "gridcell", data: { id, index } }, tile, h("div", { class: "cell-over" }));
    this.cells.set(id, cell);
    this.#decorate(cell, index, id);
    this.#tabbable(cell);
    return cell;
  }

  #decorate(cell, index, id) {
    put(cell.querySelector(".tile"), { "aria-label": this.options.describe(index, id) });
    if (!this.options.decorate) return;
    const over = cell.querySelector(".cell-over");
    const held = over.contains(document.activeElement) ? document.activeElement.dataset.action : null;
    fill(over, this.options.decorate(index, id));
    if (held) over.querySelector(`[data-action="${held}"]`)?.focus({ preventScroll: true });
    this.#tabbable(cell);
  }

  /** Only the image with the focus, and the buttons over it, can be reached by Tab. */
  #tabbable(cell) {
    const own = Number(cell.dataset.index) === this.active;
    for (const button of cell.querySelectorAll("button, a")) button.tabIndex = own ? 0 : -1;
  }

  /* ---- events ---- */

  #focused(event) {
    const cell = event.target.closest(".cell");
    if (!cell || Number(cell.dataset.index) === this.active) return;
    const before = this.cells.get(this.images.ids[this.active]);
    this.active = Number(cell.dataset.index);
    if (before) this.#tabbable(before);
    this.#tabbable(cell);
  }

  #clicked(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const { index, id } = tile.closest(".cell").dataset;
    this.options.open(Number(index), id);
  }

  #keydown(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    const cell = event.target.closest(".cell");
    if (!cell) return;
    const index = Number(cell.dataset.index);
    if (this.options.key?.(event, index, cell.dataset.id)) return event.preventDefault();
    if (event.shiftKey) return;
    const { layout, images } = this;
    const next = moveBy(event.key, index, { layout, aspects: images.aspects, count: images.count, view: innerHeight });
    if (next === null) return;
    event.preventDefault();
    this.goTo(next);
    this.atEnd = event.key === "End";
  }
}

function loadNow(image) {
  image.src = image.dataset.src;
  image.removeAttribute("data-src");
}
