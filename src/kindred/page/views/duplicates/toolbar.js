/** The row above the groups: kinds, likeness, what to keep, lists. */

import { fill, h, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { menuButton, panelButton } from "../../lib/menu.js";
import { createRules } from "./rules.js";
import { asParams, KINDS } from "./settings.js";

/**
 * @typedef {import("./settings.js").Shown} Shown
 * @typedef {import("./settings.js").Choice} Choice
 */

/**
 * @param {import("../../app.js").Context} context
 * @param {{shown: () => Shown, choice: () => Choice, facts: () => import("./groups.js").Facts | null, change: (changes: Record<string, unknown>) => void,
 *   chosen: (choice: Partial<Choice>) => void, applyToAll: () => void, searchAgain: () => void}} options
 */
export function createToolbar(context, options) {
  const { api, library } = context;
  const { shown, choice, facts, change } = options;
  const kinds = h("div", { class: "chips kinds", role: "group", "aria-label": "Kinds" });
  const likeness = panelButton({ label: "Likeness of images that are alike", icon: "similar", text: "Likeness", content: likenessPanel });
  const rules = createRules(context, options);
  const more = menuButton({
    label: "More", icon: "more",
    items: () => [
      { label: "Show decided groups", checked: shown().decided, run: () => change({ decided: shown().decided ? null : "1" }) },
      { label: "Show pairs marked as not the same", checked: shown().marked, run: () => change({ marked: shown().marked ? null : "1" }) },
      { label: "Download the list (CSV)", icon: "download", run: () => list("csv") },
      { label: "Download the list (JSON)", icon: "download", run: () => list("json") },
      { label: "Search again", icon: "refresh", run: options.searchAgain },
    ],
  });
  const stale = h("p", { class: "duplicates-stale small", hidden: true }, icon("info"), h("span", null, "Images have changed since this search."),
    h("button", { class: "button button-small", type: "button", on: { click: options.searchAgain } }, "Search again"));
  const element = h("div", { class: "duplicates-bar" }, h("div", { class: "spread" }, kinds, h("div", { class: "row" }, likeness, !library.read_only && rules, more)), stale);
  return { element, draw };

  function draw() {
    const found = facts();
    if (!found) return;
    stale.hidden = !found.changed;
    const now = shown().kinds;
    const held = kinds.contains(document.activeElement) ? document.activeElement.dataset.kind : null;
    fill(kinds, KINDS.filter(([name]) => found.counts[name] > 0 || now.includes(name)).map(([name, title]) =>
      h("button", { class: "chip", type: "button", "aria-pressed": String(now.includes(name)), data: { kind: name }, on: { click: () => toggle(name) } },
        title, h("span", { class: "soft numbers" }, found.counts[name].toLocaleString()))));
    if (held) kinds.querySelector(`[data-kind="${CSS.escape(held)}"]`)?.focus();
  }

  function toggle(name) {
    const now = shown().kinds;
    change({ kind: now.includes(name) ? now.filter((each) => each !== name) : [...now, name], group: null });
  }

  function list(format) {
    api.follow(api.url("/duplicates/list", { ...asParams(shown(), choice()), format }), `duplicates.${format}`);
  }

  function likenessPanel() {
    const found = facts();
    const least = Math.ceil((found?.least ?? 0.85) * 1000) / 1000;
    const [from, to] = [uid("from"), uid("most")];
    const text = (value) => (value >= 1 ? "no limit" : value.toFixed(3));
    const lower = h("input", { type: "range", id: from, min: least, max: 1, step: 0.001, value: found?.threshold ?? least });
    const upper = h("input", { type: "range", id: to, min: least, max: 1, step: 0.001, value: found?.most ?? 1 });
    const lowerText = h("output", { class: "numbers soft", for: from }, Number(lower.value).toFixed(3));
    const upperText = h("output", { class: "numbers soft", for: to }, text(Number(upper.value)));
    const moved = (event) => {
      if (Number(lower.value) > Number(upper.value)) (event.target === lower ? upper : lower).value = event.target.value;
      lowerText.textContent = Number(lower.value).toFixed(3);
      upperText.textContent = text(Number(upper.value));
      upper.setAttribute("aria-valuetext", text(Number(upper.value)));
    };
    const done = () => change({ from: Number(lower.value), most: Number(upper.value) >= 1 ? null : Number(upper.value), group: null });
    for (const each of [lower, upper]) {
      each.addEventListener("input", moved);
      each.addEventListener("change", done);
    }
    return h("div", { class: "stack" },
      h("div", { class: "field" }, h("div", { class: "spread" }, h("label", { for: from, class: "legend" }, "At least this alike"), lowerText), lower),
      h("div", { class: "field" }, h("div", { class: "spread" }, h("label", { for: to, class: "legend" }, "Leave out copies above"), upperText), upper),
      h("p", { class: "soft small" }, "For images that are alike. Of those above the upper bound, only one is listed."),
      h("button", { class: "button", type: "button", on: { click: () => reset(lower, upper, moved) } }, "Usual likeness"));
  }

  function reset(lower, upper, moved) {
    change({ from: null, most: null, group: null });
    lower.value = String(Math.min(1, (facts()?.least ?? 0.85) + 0.1));
    upper.value = "1";
    moved({ target: lower });
  }
}
