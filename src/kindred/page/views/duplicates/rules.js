/** What to keep: rules that decide in turn, preferred folders, and the tags that note the decision. */

import { fill, h, isolated, suggestions, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count, nameOf } from "../../lib/images.js";
import { panelButton } from "../../lib/menu.js";
import { RULES } from "./settings.js";

const TURNS = ["Keep", "if equal", "then"];

/**
 * @param {import("../../app.js").Context} context
 * @param {{choice: () => import("./settings.js").Choice, facts: () => import("./groups.js").Facts | null,
 *   chosen: (choice: Partial<import("./settings.js").Choice>) => void, applyToAll: () => void}} options
 */
export function createRules({ library }, { choice, facts, chosen, applyToAll }) {
  return panelButton({ label: "What to keep", icon: "check", text: "What to keep", content });

  function content(close) {
    const turns = h("div", { class: "stack rules-turns" });
    const folders = h("div", { class: "field", hidden: true });
    draw(turns, folders);
    const [tag, others] = [uid("tag"), uid("others")];
    const known = suggestions(`${tag}-list`, Object.keys(library.tags ?? {}));
    const kept = h("input", { class: "input", id: tag, value: choice().tag, maxlength: 200, list: known.id, on: { change: () => chosen({ tag: kept.value.trim() || "keep" }) } });
    const spare = h("input", { class: "input", id: others, value: choice().others, maxlength: 200, list: known.id, placeholder: "no tag", on: { change: () => chosen({ others: spare.value.trim() }) } });
    return h("div", { class: "stack" }, turns, folders,
      h("div", { class: "rules-tags" }, h("div", { class: "field" }, h("label", { for: tag }, "Tag of what is kept"), kept),
        h("div", { class: "field" }, h("label", { for: others }, "Tag of the others"), spare), known),
      h("p", { class: "soft small" }, "Files stay where they are: the choice is noted by tags."),
      h("button", { class: "button button-primary", type: "button", on: { click: () => { close(); applyToAll(); } } }, "Tag all groups by these rules"));
  }

  function draw(turns, folders) {
    const { rules, prefer } = choice();
    fill(turns, TURNS.map((label, at) => {
      if (at > rules.length) return null;
      const id = uid("rule");
      const field = h("select", { class: "select", id, on: { change: () => set(at, field.value, turns, folders) } },
        at > 0 && h("option", { value: "" }, "–"),
        RULES.filter(([name]) => name === rules[at] || !rules.slice(0, at).includes(name)).map(([name, title]) => h("option", { value: name, selected: name === rules[at] }, title)));
      const note = RULES.find(([name]) => name === rules[at])?.[2];
      return h("div", { class: "rules-turn" }, h("label", { for: id }, label), field, note && h("p", { class: "soft tiny" }, note));
    }));
    folders.hidden = !rules.includes("folder");
    if (folders.hidden) return;
    const rest = (facts()?.folders ?? []).filter(({ path }) => !prefer.includes(path));
    const id = uid("folder");
    const add = h("select", { class: "select", id, on: { change: () => add.value && put([...prefer, add.value], turns, folders) } },
      h("option", { value: "" }, prefer.length > 0 ? "Add another folder" : "Choose a folder"),
      rest.map(({ path, images }) => h("option", { value: path }, `${path} (${count(images, "image")})`)));
    fill(folders, h("label", { for: id }, "Preferred folders, the most preferred first"),
      h("ol", { class: "rules-folders" }, prefer.map((path, at) => h("li", null, h("span", { class: "clip", title: path }, `${at + 1}. `, isolated(nameOf(path))),
        at > 0 && h("button", { class: "icon-button", type: "button", "aria-label": `Prefer ${nameOf(path)} more`, on: { click: () => put(prefer.with(at - 1, path).with(at, prefer[at - 1]), turns, folders) } }, icon("up")),
        h("button", { class: "icon-button", type: "button", "aria-label": `Remove ${nameOf(path)}`, on: { click: () => put(prefer.toSpliced(at, 1), turns, folders) } }, icon("close"))))),
      add);
  }

  function set(at, name, turns, folders) {
    const { rules } = choice();
    const next = name ? rules.with(Math.min(at, rules.length - 1), name) : rules.slice(0, at);
    if (name && at >= rules.length) next.splice(0, next.length, ...rules, name);
    chosen({ rules: [...new Set(next)] });
    draw(turns, folders);
    turns.querySelectorAll("select")[at]?.focus();
  }

  function put(prefer, turns, folders) {
    chosen({ prefer });
    draw(turns, folders);
    folders.querySelector("select")?.focus();
  }
}
