/**
 * A map on a canvas: camera, points and thumbnails, selection and what is under the pointer. It draws only when
 * something has changed.
 */

import { addBox, CHOSEN_FRAME, GROUP_FRAME, MOST_BOXES, newBoxes, NO_FRAME } from "./boxes.js";
import { between, bounded, framing, panned, seen, toMap, toWindow, zoomed } from "./camera.js";
import { CanvasRenderer } from "./canvas2d.js";
import { boxOf } from "./data.js";
import { heightIn, levelAt, sizeAt, thumbnailsIn, widthIn } from "./detail.js";
import { enclosed } from "./lasso.js";
import { inBox, nearest } from "./pointgrid.js";
import { leftOf, Strips, topOf } from "./strips.js";
import { supported, WebglRenderer } from "./webgl.js";

const NARROW = 820; // px of a window in which tools take much room
const PADS = { large: { left: 206, top: 70, right: 64, bottom: 36 }, small: { left: 26, top: 86, right: 62, bottom: 26 } };
const FILL = 0.92; // of the room between thumbnails
const SMALL = 36; // device px of a thumbnail up to which the small cells are sharp enough
const CELLS = [32, 128];
const CLOSEST = 1500; // px between images on average, at the largest scale
const NEAR = 9; // px from a point within which it is met
const GLIDE = 320; // ms
const SETTLED = 160; // ms without a movement
const HIDDEN = 0;
const FAINT = 34;
const PLAIN = 190;
const CHOSEN = 255;

export class AtlasMap {
  /**
   * @param {HTMLElement} stage that the map fills
   * @param {import("./data.js").MapData} data
   * @param {{
   *   load: (sheet: number, cell: number, signal: AbortSignal) => Promise<ImageBitmap>,
   *   moved?: () => void, settled?: () => void, drawn?: (count: number) => void, renderer?: string | null,
   * }} options settled: the camera has come to rest; renderer: webgl2 or canvas2d, else whichever is quicker
   */
  constructor(stage, data, options) {
    Object.assign(this, { stage, data, options });
    this.size = { width: 1, height: 1 };
    this.camera = { x: 0.5, y: 0.5, scale: 1 };
    this.wanted = 0; // px of a thumbnail
    this.thumbnails = true;
    this.framed = true;
    this.styles = new Uint8Array(4 * data.count).fill(128);
    this.shown = new Uint8Array(data.count).fill(1);
    this.chosen = new Uint8Array(data.count);
    this.chosenCount = 0;
    this.marked = -1;
    this.accent = [11, 110, 99];
    this.boxes = newBoxes();
    this.list = new Uint32Array(MOST_BOXES);
    this.listed = 0;
    this.moving = null;
    this.fitted = true;
    this.wholeScale = 1;
    this.#renderer(options.renderer ?? (supported() ? "webgl2" : "canvas2d"));
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(stage);
    this.resize();
  }

  /** What tools lie over at the edges of a stage of a width, in px. */
  static padOf(width) {
    return width < NARROW ? PADS.small : PADS.large;
  }

  /** Which renderer draws: webgl2 or canvas2d. */
  get kind() {
    return this.renderer.kind;
  }

  close() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.observer.disconnect();
    this.strips.close();
    this.renderer.close();
    this.canvas.remove();
  }

  // The camera

  /** @param {import("./camera.js").Camera} camera */
  look(camera) {
    this.moving = null;
    this.#moveTo(bounded(camera, this.size));
  }

  pan(dx, dy) {
    this.moving = null;
    this.#moveTo(panned(this.camera, this.size, dx, dy));
  }

  zoom(factor, x, y, smooth = false) {
    const from = smooth && this.moving ? this.moving.to : this.camera;
    const to = zoomed(from, this.size, factor, x, y);
    if (smooth) this.glide(to);
    else this.look(to);
  }

  /** Move the camera to another place within a third of a second. */
  glide(camera) {
    const to = bounded(camera, this.size);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.look(to);
    this.moving = { from: this.camera, to, began: performance.now() };
    this.redraw();
  }

  fit(smooth = true) {
    if (smooth) this.glide(this.whole());
    else this.look(this.whole());
  }

  /** The camera that shows all images. */
  whole() {
    return framing(this.size, this.data.box);
  }

  /** Bring an image into the window if it is not there. */
  reveal(at) {
    const [x, y] = this.placeOf(at);
    const margin = 40;
    if (x > margin && y > margin && x < this.size.width - margin && y < this.size.height - margin) return;
    this.glide({ ...this.camera, x: this.data.points[2 * at], y: this.data.points[2 * at + 1] });
  }

  /** Show all of some images. @param {number[]} some */
  frameOn(some) {
    const { points } = this.data;
    if (some.length > 0) this.glide(framing(this.size, boxOf(some.flatMap((at) => [points[2 * at], points[2 * at + 1]]))));
  }

  /** Where an image is in the window. */
  placeOf(at) {
    return toWindow(this.camera, this.size, this.data.points[2 * at], this.data.points[2 * at + 1]);
  }

  // What is shown

  /** Colour the points: red, green and blue of each, four bytes apart. */
  paint(write) {
    write(this.styles);
    this.#restyle();
  }

  /** Show some images and leave others faint: 1 and 0 for each. */
  filter(shown) {
    this.shown.set(shown);
    this.#restyle();
  }

  /** Choose images; those of `some` alone. @param {Iterable<number>} some */
  choose(some) {
    this.chosen.fill(0);
    this.chosenCount = 0;
    for (const at of some) {
      if (this.data.aspects[at] < 0) continue;
      this.chosenCount += 1 - this.chosen[at];
      this.chosen[at] = 1;
    }
    this.#restyle();
  }

  toggle(at) {
    this.chosen[at] = 1 - this.chosen[at];
    this.chosenCount += this.chosen[at] ? 1 : -1;
    this.#restyle();
  }

  /** The chosen images in the order of the map. */
  selection() {
    const found = [];
    for (let at = 0; at < this.data.count; at += 1) if (this.chosen[at]) found.push(at);
    return found;
  }

  /** Mark one image with a frame; -1 for none. */
  mark(at) {
    if (at === this.marked) return;
    this.marked = at;
    this.redraw();
  }

  set(options) {
    Object.assign(this, options);
    this.#restyle();
  }

  // What is where

  /** The image at a point of the window, or -1: a thumbnail before a point. */
  hit(px, py) {
    const [mx, my] = toMap(this.camera, this.size, px, py);
    const { aspects, points } = this.data;
    const side = this.side * FILL;
    for (let place = this.listed - 1; place >= 0; place -= 1) {
      const at = this.list[place];
      const [dx, dy] = [(points[2 * at] - mx) * this.camera.scale, (points[2 * at + 1] - my) * this.camera.scale];
      if (Math.abs(dx) <= widthIn(side, aspects[at]) / 2 && Math.abs(dy) <= heightIn(side, aspects[at]) / 2) return at;
    }
    return nearest(this.data.grid, mx, my, NEAR / this.camera.scale, (at) => this.shown[at] === 1);
  }

  /**
   * The images in the window, those shown first at the front, and how many there are.
   * @param {number} most
   * @returns {{images: number[], total: number}}
   */
  inView(most) {
    const { data } = this;
    const within = inBox(data.grid, seen(this.camera, this.size), data.scratch);
    const kept = [];
    for (let place = 0; place < within; place += 1) if (this.shown[data.scratch[place]]) kept.push(data.scratch[place]);
    // The order of the map puts images that stand for many before others.
    kept.sort((a, b) => a - b);
    return { images: kept.slice(0, most), total: kept.length };
  }

  /** The images within a line around them, px in the window. @param {number[]} line */
  enclosed(line) {
    const polygon = [];
    for (let at = 0; at < line.length; at += 2) polygon.push(...toMap(this.camera, this.size, line[at], line[at + 1]));
    return enclosed(this.data.grid, polygon, (at) => this.shown[at] === 1);
  }

  // Drawing

  redraw() {
    if (this.frame || !this.sized) return;
    this.frame = requestAnimationFrame((now) => {
      this.frame = 0;
      this.draw(now);
    });
  }

  draw(now) {
    this.#glided(now);
    this.side = sizeAt(this.camera.scale, this.wholeScale, this.wanted);
    this.#collect();
    const spacing = this.camera.scale / Math.sqrt(Math.max(1, this.data.count));
    const pointSize = Math.max(2, Math.min(9, 0.36 * spacing));
    this.renderer.draw(this.camera, this.size, { pointSize, boxes: this.boxes });
    this.strips.end();
    this.options.drawn?.(this.boxes.count);
  }

  #collect() {
    const { boxes, data, list } = this;
    boxes.count = 0;
    boxes.radius = Math.min(4, this.side / 14);
    this.strips.begin();
    const level = this.thumbnails ? levelAt(this.camera.scale, this.side) : -1;
    this.listed = thumbnailsIn(data, this.camera, this.size, level, this.side / 2, list, this.shown);
    const ratio = this.renderer.ratio;
    const cell = this.side * FILL * ratio > SMALL ? CELLS[1] : CELLS[0];
    let drawn = 0;
    for (let place = 0; place < this.listed; place += 1) {
      const at = list[place];
      if (at === this.marked || !this.#addBox(at, cell)) continue;
      list[drawn] = at;
      drawn += 1;
    }
    if (this.marked >= 0 && this.shown[this.marked] && this.#addBox(this.marked, cell, 1.25)) {
      list[drawn] = this.marked;
      drawn += 1;
    }
    this.listed = drawn;
  }

  /** Add the thumbnail of an image, in the best size that is there; false if none is. */
  #addBox(at, cell, scale = 1) {
    let own = cell;
    let slot = this.strips.slot(at, cell);
    if (slot < 0 && cell !== CELLS[0]) {
      own = CELLS[0];
      slot = this.strips.slot(at, own);
    }
    if (slot < 0) return false;
    const { aspects, points } = this.data;
    const side = this.side * FILL * scale;
    const special = this.chosen[at] === 1 || at === this.marked;
    const kind = special ? CHOSEN_FRAME : this.framed ? GROUP_FRAME : NO_FRAME;
    const colours = special ? this.accent : this.styles;
    const first = special ? 0 : 4 * at;
    addBox(
      this.boxes, points[2 * at], points[2 * at + 1], widthIn(side, aspects[at]), heightIn(side, aspects[at]),
      leftOf(at, own), topOf(at, own), widthIn(own, aspects[at]), heightIn(own, aspects[at]), slot,
      colours[first], colours[first + 1], colours[first + 2], kind,
    );
    return true;
  }

  #glided(now) {
    if (!this.moving) return;
    const { from, to, began } = this.moving;
    const t = Math.min(1, (now - began) / GLIDE);
    if (t >= 1) this.moving = null;
    this.#moveTo(t >= 1 ? to : between(from, to, t));
  }

  #moveTo(camera) {
    this.camera = camera;
    this.fitted = camera.scale <= this.wholeScale * 1.001;
    this.redraw();
    this.options.moved?.();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.options.settled?.(), SETTLED);
  }

  #restyle() {
    const { styles, shown, chosen } = this;
    const others = this.chosenCount > 0 ? 110 : PLAIN;
    for (let at = 0; at < this.data.count; at += 1) {
      styles[4 * at + 3] = this.data.aspects[at] < 0 ? HIDDEN : chosen[at] ? CHOSEN : shown[at] ? others : FAINT;
    }
    this.renderer.setStyles(styles);
    this.redraw();
  }

  #renderer(kind) {
    this.canvas?.remove();
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.stage.prepend(this.canvas);
    // A graphics driver that fails leaves the map to the other renderer.
    const lost = () => {
      this.renderer.close();
      this.strips.close();
      this.#renderer("canvas2d");
      this.resize();
    };
    this.renderer = this.#made(kind, lost);
    this.strips = new Strips({ load: this.options.load, put: (slot, strip) => this.renderer.put(slot, strip), changed: () => this.redraw() });
    this.renderer.setPoints(this.data.points);
    this.stage.dataset.renderer = this.renderer.kind;
  }

  #made(kind, lost) {
    if (kind === "webgl2") {
      try {
        return new WebglRenderer(this.canvas, { lost });
      } catch (error) {
        console.warn("The map is drawn without WebGL2:", error);
        const canvas = document.createElement("canvas");
        canvas.setAttribute("aria-hidden", "true");
        this.canvas.replaceWith(canvas);
        this.canvas = canvas;
      }
    }
    return new CanvasRenderer(this.canvas);
  }

  /** Take the size of the stage; nothing happens while it has none. */
  resize() {
    const { clientWidth, clientHeight } = this.stage;
    if (clientWidth === 0 || clientHeight === 0) return;
    const whole = this.fitted;
    this.sized = true;
    const [width, height, small] = [clientWidth, clientHeight, clientWidth < NARROW];
    this.size = { width, height, most: CLOSEST * Math.sqrt(this.data.count), pad: AtlasMap.padOf(width) };
    // Few images are shown larger: together they take about a fifth of the window.
    const fair = Math.sqrt((0.2 * width * height) / Math.max(1, this.data.count));
    if (this.wanted === 0) this.wanted = Math.round(Math.max(small ? 46 : 56, Math.min(112, fair)));
    this.wholeScale = this.whole().scale;
    this.renderer.resize(clientWidth, clientHeight, Math.min(2, devicePixelRatio || 1));
    this.renderer.setStyles(this.styles);
    this.look(whole ? this.whole() : this.camera);
  }
}
