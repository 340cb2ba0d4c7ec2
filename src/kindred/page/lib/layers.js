/**
 * What lies over the page. Everything outside a modal dialog is inert, messages and live regions too, so these move
 * into the dialog that is on top and back out of it.
 */

import { h } from "./dom.js";

const COMPANIONS = ["toasts", "polite", "assertive"];

/** The dialog on top, or the body. */
function host() {
  return [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
}

/**
 * An element that has to be reachable above all dialogs, moved to where it is.
 * @param {string} id one of the page's own: toasts, polite, assertive
 */
export function companion(id) {
  const element = document.getElementById(id);
  if (element.parentElement !== host()) host().append(element);
  return element;
}

/**
 * Show a modal dialog; when it closes it is taken out, and the focus returns to where it was.
 * @param {any} dialog a dialog element that is not in the document
 * @returns {Promise<string>} its return value when it closes
 */
export function present(dialog) {
  const before = document.activeElement;
  document.body.append(dialog);
  document.documentElement.classList.add("covered");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const below = [...document.querySelectorAll("dialog[open]")].filter((other) => other !== dialog).at(-1) ?? document.body;
      for (const id of COMPANIONS) {
        const element = document.getElementById(id);
        if (dialog.contains(element)) below.append(element);
      }
      dialog.remove();
      if (below === document.body) document.documentElement.classList.remove("covered");
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
      resolve(dialog.returnValue);
    });
  });
}

/** A button that closes the dialog it is in. */
export function closeButton(close, content, label = "Close") {
  return h("button", { class: "icon-button", type: "button", "aria-label": label, title: label, on: { click: () => close() } }, content);
}
