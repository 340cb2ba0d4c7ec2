/** Answers marked as right or wrong, and the search that learns from them. */

import { announce } from "../../lib/announce.js";
import { fill, h } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count, nameOf } from "../../lib/images.js";

/**
 * @param {{again: (right: string[], wrong: string[]) => void, changed: () => void}} options
 */
export function createMarks({ again, changed }) {
  /** @type {Map<string, "right" | "wrong">} */
  let marks = new Map();
  let applied = "";
  let query = "";
  const text = h("p", { class: "marks-text" });
  const search = h("button", { class: "button button-primary button-small", type: "button", on: { click: () => again(idsOf("right"), idsOf("wrong")) } }, icon("refresh"), "Search again");
  const clear = h("button", { class: "button button-quiet button-small", type: "button", on: { click: reset } }, "Clear");
  const element = h("div", { class: "marks", role: "group", "aria-label": "Refine", hidden: true }, text, h("div", { class: "row" }, clear, search));

  return {
    element,
    /** @param {string} id */
    of: (id) => marks.get(id) ?? "",
    /** Mark an answer, or take its mark away. */
    toggle(image, kind) {
      if (marks.get(image.id) === kind) marks.delete(image.id);
      else marks.set(image.id, kind);
      announce(marks.has(image.id) ? `${nameOf(image.path)} marked ${kind}` : `${nameOf(image.path)} not marked`);
      draw();
      changed();
    },
    /** Take over the marks of the address; those not yet searched with stay while the query is the same. */
    show(state) {
      const now = JSON.stringify([state.right, state.wrong]);
      const asked = JSON.stringify(state.query);
      if (asked === query && now === applied) return;
      query = asked;
      applied = now;
      marks = new Map([...state.right.map((id) => [id, "right"]), ...state.wrong.map((id) => [id, "wrong"])]);
      draw();
    },
  };

  function idsOf(kind) {
    return [...marks].filter(([, each]) => each === kind).map(([id]) => id);
  }

  function draw() {
    const [right, wrong] = [idsOf("right"), idsOf("wrong")];
    element.hidden = marks.size === 0 && applied === "[[],[]]";
    const same = JSON.stringify([right, wrong]) === applied;
    fill(text, icon(same ? "check" : "info"), same
      ? `Searched with ${count(right.length, "right answer")} and ${count(wrong.length, "wrong one")}`
      : `${count(right.length, "answer")} marked right, ${wrong.length} wrong`);
    search.disabled = same;
  }

  function reset() {
    marks = new Map();
    if (applied === "[[],[]]") {
      draw();
      changed();
    } else {
      again([], []);
    }
  }
}
