/** The keys of the view, listed by "?", and whether single letters are commands (WCAG 2.1.4: they can be turned off). */

import { openDialog } from "../../lib/dialog.js";
import { h } from "../../lib/dom.js";

const KEYS = [
  ["Groups", [["N", "Next group"], ["P", "Previous group"], ["↑ ↓", "The same, in the list"]]],
  ["Decide", [["1 … 9", "Keep an image, or not"], ["A", "Keep all"], ["K", "Tag what is kept, and go on"], ["X", "Not the same, and go on"], ["O", "The second image is not the same as the others"], ["Z", "Undo"]]],
  ["Look", [["← →", "Compare with another image"], [", .", "Move the divider"], ["C", "Divider, side by side, difference"], ["L", "Show large"], ["?", "This list"]]],
];

/** @param {{letters: boolean, changed: (letters: boolean) => void}} options */
export function openKeys({ letters, changed }) {
  const field = h("input", { type: "checkbox", role: "switch", checked: letters, on: { change: () => changed(field.checked) } });
  openDialog({
    title: "Keys",
    content: h("div", { class: "stack keys" }, KEYS.map(([title, rows]) => h("section", null, h("h3", null, title),
      h("dl", null, rows.map(([key, text]) => h("div", null, h("dt", null, key.split(" ").map((each) => (each === "…" ? " … " : h("kbd", null, each)))), h("dd", null, text)))))),
    h("label", { class: "switch" }, field, h("span", null, "Single letters are commands"))),
  });
}

/** Whether a key is meant for what has the focus. @param {KeyboardEvent} event */
export function isTaken(event) {
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return true;
  const target = event.target instanceof Element ? event.target : document.body;
  if (target.closest("input:not([type=radio]), select, textarea, [contenteditable], dialog, [popover]")) return true;
  return event.key.startsWith("Arrow") && target.closest("input, [role=slider]") !== null;
}
