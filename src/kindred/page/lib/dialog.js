/** Modal dialogs on the browser's own <dialog>: focus stays inside, Escape closes, focus returns to where it was. */

import { h, suggestions, uid } from "./dom.js";
import { icon } from "./icons.js";
import { closeButton, present } from "./layers.js";

/**
 * Open a dialog.
 * @param {{
 *   title: import("./dom.js").Child,
 *   content: import("./dom.js").Child,
 *   actions?: {label: string, value: string, kind?: "primary" | "danger"}[],
 *   wide?: boolean,
 *   full?: boolean,
 * }} options actions are buttons in the foot, which close the dialog with their value; Enter in a field is the one that has a kind
 * @returns {{element: any, body: any, close: (value?: string) => void, closed: Promise<string>}}
 *   `closed` gives the value of the action, "" if the dialog was dismissed
 */
export function openDialog(options) {
  const { title, content, actions = [], wide, full } = options;
  const id = uid("dialog");
  const close = (value = "") => dialog.close(value);
  const body = h("div", { class: "dialog-body" }, content);
  const main = actions.find(({ kind }) => kind);
  // Enter in a field would take the first button, which is Cancel.
  const enter = (event) => {
    if (event.key !== "Enter" || event.defaultPrevented || !main || !event.target.matches("input")) return;
    event.preventDefault();
    close(main.value);
  };
  const form = h("form", { method: "dialog", class: "dialog-form", on: { keydown: enter } },
    h("div", { class: "dialog-head" }, h("h2", { id }, title), closeButton(close, icon("close"))),
    body,
    actions.length > 0 && h("div", { class: "dialog-foot" }, actions.map(({ label, value, kind }) =>
      h("button", { class: ["button", kind && `button-${kind}`], value, type: "submit" }, label))));
  const classes = ["dialog", wide && "dialog-wide", full && "dialog-full"];
  const dialog = h("dialog", { class: classes, "aria-labelledby": id }, form);
  // A press on the backdrop, outside the dialog's own box, dismisses it.
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog) close();
  });
  return { element: dialog, body, close, closed: present(dialog) };
}

/**
 * Ask yes or no.
 * @param {{title: import("./dom.js").Child, text: import("./dom.js").Child, action: string, danger?: boolean}} options action: the label of yes
 * @returns {Promise<boolean>}
 */
export async function confirmed({ title, text, action, danger }) {
  const actions = [{ label: "Cancel", value: "" }, { label: action, value: "yes", kind: danger ? "danger" : "primary" }];
  return (await openDialog({ title, content: h("p", null, text), actions }).closed) === "yes";
}

/**
 * Ask for a line of text.
 * @param {{title: string, label: import("./dom.js").Child, action: string, value?: string, placeholder?: string, list?: string[]}} options
 * @returns {Promise<string | null>} null if dismissed or empty
 */
export async function askText({ title, label, action, value = "", placeholder = "", list = [] }) {
  const id = uid("text");
  const choices = list.length > 0 ? suggestions(`${id}-list`, list) : null;
  const field = h("input", { id, class: "input", value, placeholder, autocomplete: "off", list: choices?.id, autofocus: true });
  const content = h("div", { class: "field" }, h("label", { for: id }, label), field, choices);
  const actions = [{ label: "Cancel", value: "" }, { label: action, value: "yes", kind: "primary" }];
  const dialog = openDialog({ title, content, actions });
  field.focus();
  return (await dialog.closed) === "yes" && field.value.trim() ? field.value.trim() : null;
}
