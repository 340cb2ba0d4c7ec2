/** Light, dark or as the system prefers: one button that goes through the three. */

import { announce } from "./announce.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

const KEY = "kindred.theme";
const THEMES = [
  { name: "auto", icon: "auto", label: "Colours as the system has them" },
  { name: "light", icon: "sun", label: "Light colours" },
  { name: "dark", icon: "moon", label: "Dark colours" },
];

/** The button of the header. */
export function themeButton() {
  const button = h("button", { class: "icon-button", type: "button", on: { click: next } });
  show();
  return button;

  function index() {
    return Math.max(0, THEMES.findIndex(({ name }) => name === document.documentElement.dataset.theme));
  }

  function next() {
    const { name, label } = THEMES[(index() + 1) % THEMES.length];
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    try {
      localStorage.setItem(KEY, name);
    } catch {
      // Storage may be blocked; the choice then lasts until the page is left.
    }
    show();
    announce(label);
  }

  function show() {
    const theme = THEMES[index()];
    fill(button, icon(theme.icon));
    button.setAttribute("aria-label", `Theme: ${theme.label}`);
    button.title = theme.label;
  }
}
