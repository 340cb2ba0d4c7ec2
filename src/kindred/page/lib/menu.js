/** Menus and panels beside a button, on the browser's own popovers: Escape and a press elsewhere close them. */

import { fill, h, uid } from "./dom.js";
import { icon } from "./icons.js";

/**
 * A button that opens a menu of actions.
 * @param {{label: string, icon?: string, text?: string, class?: string,
 *   items: () => ({label: string, icon?: string, run: () => void, checked?: boolean, disabled?: boolean} | null | false)[]}} options
 *   label: accessible name; text: what is written on the button; items are asked for each time it opens
 * @returns {HTMLElement}
 */
export function menuButton(options) {
  const { items } = options;
  const menu = h("div", { class: "menu", popover: "auto", role: "menu", "aria-label": options.label, id: uid("menu"), on: { keydown } });
  const button = opener(options, menu, "menu", () => {
    fill(menu, items().filter(Boolean).map((item) => entry(item, menu)));
    menu.querySelector(".menu-item")?.focus();
  });
  return h("span", { class: "menu-holder" }, button, menu);

  function keydown(event) {
    const entries = [...menu.querySelectorAll(".menu-item:not(:disabled)")];
    const at = entries.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + (at < 0 ? 1 : 0), Home: 0, End: entries.length - 1 }[event.key];
    if (event.key === "Tab") return menu.hidePopover();
    if (to === undefined || entries.length === 0) return;
    event.preventDefault();
    entries[(to + entries.length) % entries.length].focus();
  }
}

function entry({ label, icon: sign, run, checked, disabled }, menu) {
  const chosen = () => {
    menu.hidePopover();
    run();
  };
  const choice = checked !== undefined;
  return h("button", {
    class: "menu-item", type: "button", role: choice ? "menuitemradio" : "menuitem", tabindex: -1, disabled,
    "aria-checked": choice ? String(checked) : null, on: { click: chosen },
  }, choice ? h("span", { class: "menu-check" }, checked && icon("check")) : sign && icon(sign), label);
}

/**
 * A button that opens a panel of settings, which stays open while they are changed.
 * @param {{label: string, icon?: string, text?: string, class?: string,
 *   content: (close: () => void) => import("./dom.js").Child}} options content is asked for each time it opens
 * @returns {HTMLElement}
 */
export function panelButton(options) {
  const panel = h("div", { class: "menu menu-panel", popover: "auto", role: "dialog", "aria-label": options.label, id: uid("panel") });
  const button = opener(options, panel, "dialog", () => {
    fill(panel, options.content(() => panel.hidePopover()));
    panel.querySelector("input, select, button, a")?.focus();
  });
  return h("span", { class: "menu-holder" }, button, panel);
}

function opener({ label, icon: sign, text, class: style }, popover, kind, opened) {
  const classes = style ?? (text ? "button" : "icon-button");
  const button = h("button", {
    class: classes, type: "button", "aria-haspopup": kind, "aria-expanded": "false", "aria-controls": popover.id,
    "aria-label": label, title: text ? null : label,
  }, sign && icon(sign), text && h("span", null, text), text && icon("down"));
  const resized = new ResizeObserver(() => popover.matches(":popover-open") && place(popover, button));
  // A press on the button closes an open popover first; without this the click would open it again.
  let wasOpen = false;
  button.addEventListener("pointerdown", () => {
    wasOpen = popover.matches(":popover-open");
  });
  button.addEventListener("click", () => {
    if (!wasOpen) popover.showPopover();
    wasOpen = false;
  });
  popover.addEventListener("toggle", (event) => {
    const open = event.newState === "open";
    button.setAttribute("aria-expanded", String(open));
    if (!open) {
      resized.disconnect();
      if (popover.contains(document.activeElement)) button.focus();
      return;
    }
    opened();
    place(popover, button);
    resized.observe(popover);
  });
  return button;
}

/** Below the button, or above it, within the window. */
function place(popover, button) {
  const anchor = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = popover;
  const below = anchor.bottom + 6 + height <= innerHeight - 8;
  const above = anchor.top - 6 - height >= 8;
  const top = below || !above ? Math.min(anchor.bottom + 6, innerHeight - height - 8) : anchor.top - 6 - height;
  const left = Math.min(Math.max(8, anchor.left), document.body.clientWidth - width - 8);
  popover.style.setProperty("left", `${Math.max(8, left)}px`);
  popover.style.setProperty("top", `${Math.max(8, top)}px`);
}
