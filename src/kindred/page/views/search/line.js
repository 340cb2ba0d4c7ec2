/** The line where answers end: it says what lies below, opens it, and has a slider that moves it. */

import { fill, h, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count, percent } from "../../lib/images.js";

/** @param {{moved: (line: number) => void, toggle: () => void}} options */
export function createLine({ moved, toggle }) {
  const id = uid("line");
  const slider = h("input", { id, type: "range", min: 0.01, max: 0.99, step: 0.01, on: { input: () => moved(Number(slider.value)) } });
  const value = h("output", { for: id, class: "numbers line-value" });
  const text = h("p", { class: "line-text" });
  const button = h("button", { class: "button button-small", type: "button", on: { click: toggle } });
  const element = h("div", { class: "line", role: "group", "aria-label": "Where answers end" }, h("div", { class: "line-rule" }),
    h("div", { class: "line-box" }, text,
      h("div", { class: "line-slider" }, h("label", { for: id, class: "small" }, "Sure at least"), slider, value), button));

  return {
    element,
    /** @param {{above: any[], below: any[], at: number, open: boolean, more: boolean}} now */
    show({ above, below, at, open, more }) {
      if (document.activeElement !== slider || Number(slider.value) !== at) slider.value = at;
      value.textContent = `${Math.round(at * 100)} %`;
      slider.setAttribute("aria-valuetext", `${percent(at)}: ${count(above.length, "image")} above the line`);
      text.textContent = words(at);
      const number = below.length > 0 ? `${below.length}${more ? "+" : ""} less alike` : more ? "less alike" : "none";
      fill(button, icon(open ? "up" : "down"), open ? "Hide what is below" : `Show ${number}`);
      button.setAttribute("aria-expanded", String(open));
      button.disabled = below.length === 0 && !more;
    },
  };
}

/** What lies below a line at a probability. */
function words(at) {
  if (at > 0.5) return "Below this line it is less sure";
  return at < 0.5 ? "Below this line it is even less likely the same thing" : "Below this line it is probably not the same thing";
}
