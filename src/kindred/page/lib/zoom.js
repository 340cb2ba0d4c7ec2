/**
 * Zoom and pan of one element within another: wheel, pinch, drag, double press and keys.
 *
 * @typedef {{scale: number, x: number, y: number}} View scale 1: the element fits; x, y: its centre's shift in px
 * @typedef {{width: number, height: number}} Size in px
 */

const STEP = 1.5;
const SWIPE = 60; // A finger moved this many px sideways turns to the next image.

/**
 * The view kept such that the element covers the stage where it is larger, and is centred where it is not.
 * @param {View} view @param {Size} element at scale 1 @param {Size} stage @param {number} most
 * @returns {View}
 */
export function bounded({ scale, x, y }, element, stage, most) {
  const within = Math.max(1, Math.min(most, scale));
  const reach = (size, room) => Math.max(0, (size * within - room) / 2);
  const clamp = (value, limit) => Math.max(-limit, Math.min(limit, value)) + 0;
  return { scale: within, x: clamp(x, reach(element.width, stage.width)), y: clamp(y, reach(element.height, stage.height)) };
}

/**
 * The view zoomed by a factor about a point that stays where it is.
 * @param {View} view @param {number} factor @param {{x: number, y: number}} point from the stage's centre, px
 * @returns {View}
 */
export function zoomedAt({ scale, x, y }, factor, point) {
  return { scale: scale * factor, x: point.x - (point.x - x) * factor, y: point.y - (point.y - y) * factor };
}

export class Zoom {
  /**
   * @param {HTMLElement} stage
   * @param {HTMLElement} element centred in the stage
   * @param {{turn?: (by: -1 | 1) => void, dismiss?: () => void, changed?: (scale: number) => void}} [options]
   *   turn: swiped sideways; dismiss: swiped down
   */
  constructor(stage, element, options = {}) {
    Object.assign(this, { stage, element, options });
    this.most = 8;
    this.pointers = new Map();
    this.reset();
    const on = (name, listener, more) => stage.addEventListener(name, listener, more);
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) on(name, (event) => this.#up(event));
    on("dblclick", (event) => {
      // Touch screens that send it do so after the second tap, which was counted already.
      if (event.timeStamp - (this.tapped ?? -1000) > 500) this.toggle(this.#point(event));
    });
  }

  /** Show the whole element. */
  reset() {
    this.#apply({ scale: 1, x: 0, y: 0 });
  }

  /** Zoom in or out by a factor, about the centre if no point is given. */
  by(factor, point = { x: 0, y: 0 }) {
    this.#apply(zoomedAt(this.view, this.#limited(factor), point));
  }

  /** Zoom in, or back to the whole. */
  toggle(point) {
    if (this.view.scale > 1.01) this.reset();
    else this.by(Math.min(this.most, 3), point);
  }

  /** Move what is seen; returns whether there was room to move. */
  pan(dx, dy) {
    const before = this.view;
    this.#apply({ ...before, x: before.x - dx, y: before.y - dy });
    return before.x !== this.view.x || before.y !== this.view.y;
  }

  /** Handle a key; returns whether it was one of ours. */
  key(event) {
    const distance = 80;
    const zoomed = this.view.scale > 1.01;
    const moves = { ArrowLeft: [-distance, 0], ArrowRight: [distance, 0], ArrowUp: [0, -distance], ArrowDown: [0, distance] };
    if (event.key === "+" || event.key === "=") this.by(STEP);
    else if (event.key === "-") this.by(1 / STEP);
    else if (event.key === "0") this.reset();
    else if (zoomed && moves[event.key]) this.pan(...moves[event.key]);
    else return false;
    return true;
  }

  zoomIn() {
    this.by(STEP);
  }

  zoomOut() {
    this.by(1 / STEP);
  }

  #limited(factor) {
    const wanted = Math.max(1, Math.min(this.most, this.view.scale * factor));
    return wanted / this.view.scale;
  }

  #apply(view) {
    const size = ({ offsetWidth, offsetHeight }) => ({ width: offsetWidth, height: offsetHeight });
    this.view = bounded(view, size(this.element), size(this.stage), this.most);
    const { scale, x, y } = this.view;
    this.element.style.setProperty("transform", `translate(${x}px, ${y}px) scale(${scale})`);
    this.stage.classList.toggle("zoomed", scale > 1.01);
    this.options.changed?.(scale);
  }

  #point({ clientX, clientY }) {
    const box = this.stage.getBoundingClientRect();
    return { x: clientX - box.left - box.width / 2, y: clientY - box.top - box.height / 2 };
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.by(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), this.#point(event));
  }

  #down(event) {
    if (event.button > 0 || event.target.closest("button, a")) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.#point(event));
    if (this.pointers.size === 1) this.began = { ...this.#point(event), touch: event.pointerType !== "mouse" };
    else this.began = null;
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#point(event);
    if (this.pointers.size === 1) {
      this.pointers.set(event.pointerId, now);
      if (this.view.scale > 1.01) this.pan(before.x - now.x, before.y - now.y);
      return;
    }
    const [a, b] = [...this.pointers.values()];
    const spread = Math.hypot(a.x - b.x, a.y - b.y);
    this.pointers.set(event.pointerId, now);
    const [c, d] = [...this.pointers.values()];
    const middle = { x: (c.x + d.x) / 2, y: (c.y + d.y) / 2 };
    this.by(Math.hypot(c.x - d.x, c.y - d.y) / Math.max(1, spread), middle);
    this.pan((a.x + b.x) / 2 - middle.x, (a.y + b.y) / 2 - middle.y);
  }

  #up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    const began = this.began;
    this.began = null;
    if (!began?.touch || event.type !== "pointerup" || this.view.scale > 1.01) return;
    const now = this.#point(event);
    const [dx, dy] = [now.x - began.x, now.y - began.y];
    if (Math.abs(dx) > SWIPE && Math.abs(dx) > Math.abs(dy) * 1.5) this.options.turn?.(dx < 0 ? 1 : -1);
    else if (dy > SWIPE * 1.5 && dy > Math.abs(dx) * 1.5) this.options.dismiss?.();
    else if (Math.hypot(dx, dy) < 10) this.#tapped(event);
  }

  /** Two taps, since dblclick does not come on every touch screen. */
  #tapped(event) {
    const again = this.tap && event.timeStamp - this.tap < 320;
    this.tap = again ? 0 : event.timeStamp;
    if (!again) return;
    this.tapped = event.timeStamp;
    this.toggle(this.#point(event));
  }
}
