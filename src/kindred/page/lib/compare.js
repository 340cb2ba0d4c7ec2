/**
 * Two pictures to compare: over each other with a divider that is moved by mouse, finger or keys, side by side, or as
 * their difference.
 *
 * @typedef {{src: string, small?: string, label: string, aspect: number, turned?: number, mirrored?: boolean}} Picture
 *   aspect: width over height of the file; turned, mirrored: how it was turned (clockwise, in degrees) after mirroring,
 *   against the others; it is shown turned back
 * @typedef {"divider" | "sides" | "difference"} Mode
 */

import { fill, h, put } from "./dom.js";

const STEP = 2;
const LARGE_STEP = 10;

export class Compare {
  constructor() {
    this.at = 50;
    /** @type {Mode} */
    this.mode = "divider";
    this.sides = [side("first"), side("second")];
    this.handle = h("div", {
      class: "compare-handle", role: "slider", tabindex: 0, "aria-label": "Divider between the two pictures", "aria-valuemin": 0,
      "aria-valuemax": 100, "aria-orientation": "horizontal", on: { keydown: (event) => this.#keydown(event) },
    }, h("span", { class: "compare-grip", "aria-hidden": "true" }));
    this.frame = h("div", { class: "compare-frame", on: { pointerdown: (event) => this.#down(event) } }, this.sides.map(({ element }) => element), this.handle);
    this.element = h("div", { class: "compare" }, this.frame);
    this.setMode(this.mode);
    this.move(50);
  }

  /**
   * Show two pictures; the frame has the shape of the first.
   * @param {Picture} first @param {Picture | null} second null: there is nothing to compare with
   */
  show(first, second) {
    this.pictures = second ? [first, second] : [first];
    this.frame.style.setProperty("--ratio", String(shown(first)));
    this.frame.classList.toggle("compare-single", !second);
    this.sides.forEach((each, at) => each.show(this.pictures[at] ?? null));
    put(this.handle, { "aria-valuetext": this.#text() });
  }

  /** @param {Mode} mode */
  setMode(mode) {
    this.mode = mode;
    this.frame.dataset.mode = mode;
    this.handle.hidden = mode !== "divider";
  }

  /** Move the divider to so many per cent of the width. @param {number} at */
  move(at) {
    this.at = Math.max(0, Math.min(100, at));
    this.frame.style.setProperty("--at", `${this.at}%`);
    this.handle.setAttribute("aria-valuenow", String(Math.round(this.at)));
    put(this.handle, { "aria-valuetext": this.#text() });
  }

  #text() {
    const share = Math.round(this.at);
    const [first, second] = this.pictures ?? [];
    return first && second ? `${share} % ${first.label}, ${100 - share} % ${second.label}` : `${share} %`;
  }

  #keydown(event) {
    const by = event.shiftKey ? LARGE_STEP : STEP;
    const to = {
      ArrowLeft: this.at - by, ArrowDown: this.at - by, ArrowRight: this.at + by, ArrowUp: this.at + by, PageDown: this.at - LARGE_STEP,
      PageUp: this.at + LARGE_STEP, Home: 0, End: 100,
    }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.move(to);
  }

  #down(event) {
    if (this.mode !== "divider" || event.button !== 0 || this.frame.classList.contains("compare-single")) return;
    const follow = (moved) => {
      const { left, width } = this.frame.getBoundingClientRect();
      this.move(((moved.clientX - left) / width) * 100);
    };
    const end = () => {
      for (const [name, listener] of listeners) this.frame.removeEventListener(name, listener);
      this.frame.classList.remove("compare-moving");
    };
    const listeners = [["pointermove", follow], ["pointerup", end], ["pointercancel", end]];
    for (const [name, listener] of listeners) this.frame.addEventListener(name, listener);
    this.frame.setPointerCapture(event.pointerId);
    this.frame.classList.add("compare-moving");
    // A finger that scrolls the page must not move the divider before it has moved sideways.
    if (event.pointerType !== "touch") {
      follow(event);
      event.preventDefault();
      this.handle.focus({ preventScroll: true });
    }
  }
}

/** The aspect of a picture as it is shown, turned back. @param {Picture} picture */
export function shown({ aspect, turned = 0 }) {
  return turned % 180 === 0 ? aspect : 1 / aspect;
}

/** How a picture is turned back, as a CSS transform. @param {{turned?: number, mirrored?: boolean}} picture */
export function turnedBack({ turned = 0, mirrored = false }) {
  return [mirrored && "scaleX(-1)", turned && `rotate(${-turned}deg)`].filter(Boolean).join(" ") || "rotate(0deg)";
}

function side(name) {
  const holder = h("div", { class: "compare-picture" });
  const label = h("figcaption", { class: "compare-label clip" });
  const element = h("figure", { class: ["compare-side", `compare-${name}`] }, holder, label);
  return { element, show };

  /** @param {Picture | null} picture */
  function show(picture) {
    element.hidden = !picture;
    if (!picture) return fill(holder);
    fill(label, picture.label);
    holder.classList.toggle("compare-quarter", (picture.turned ?? 0) % 180 !== 0);
    holder.style.setProperty("--turn", turnedBack(picture));
    const large = h("img", { src: picture.src, alt: picture.label, draggable: "false", decoding: "async" });
    const small = picture.small ? h("img", { src: picture.small, alt: "", draggable: "false" }) : null;
    large.addEventListener("load", () => small?.remove(), { once: true });
    large.addEventListener("error", () => element.classList.add("compare-missing"), { once: true });
    element.classList.remove("compare-missing");
    fill(holder, small, large);
  }
}
