/** Short messages at the edge of the page, with at most one action such as "Undo". */

import { announce } from "./announce.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { companion } from "./layers.js";

const SECONDS = 6;
const AT_MOST = 3;

/**
 * Show a message for some seconds; it stays while it has the pointer or the focus, and errors stay until closed.
 * @param {import("./dom.js").Child} text
 * @param {{kind?: "info" | "good" | "bad", seconds?: number, action?: {label: string, run: () => void}}} [options]
 * @returns {() => void} closes it
 */
export function toast(text, options = {}) {
  const { kind = "info", seconds = SECONDS, action } = options;
  const region = companion("toasts");
  const close = () => {
    clearTimeout(timer);
    box.remove();
  };
  const words = h("p", null, text);
  const box = h("div", { class: ["toast", `toast-${kind}`] }, kind === "bad" ? icon("warning") : null, words);
  if (action) {
    const run = () => {
      close();
      action.run();
    };
    box.append(h("button", { class: "button button-quiet", type: "button", on: { click: run } }, action.label));
  }
  const label = "Close this message";
  box.append(h("button", { class: "icon-button", type: "button", "aria-label": label, on: { click: close } }, icon("close")));
  let timer = 0;
  const wait = () => {
    clearTimeout(timer);
    if (kind !== "bad") timer = setTimeout(close, seconds * 1000);
  };
  for (const event of ["pointerenter", "focusin"]) box.addEventListener(event, () => clearTimeout(timer));
  for (const event of ["pointerleave", "focusout"]) box.addEventListener(event, wait);
  const others = [...region.children].slice(-(AT_MOST - 1));
  fill(region, others, box);
  announce(words.textContent, { urgent: kind === "bad" });
  wait();
  return close;
}

/**
 * Show an error, with its hint if it has one.
 * @param {Error & {hint?: string}} error
 */
export function toastError(error) {
  return toast(error.hint ? `${error.message} ${error.hint}` : error.message, { kind: "bad" });
}
