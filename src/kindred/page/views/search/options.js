/** How a search is done: re-rankers and their effect, parts of the image, copies, scores. */

import { fill, h, uid } from "../../lib/dom.js";
import { panelButton } from "../../lib/menu.js";
import { canSearchRegions } from "./state.js";

/**
 * @param {import("../../app.js").Context} context
 * @param {(changes: Record<string, unknown>) => void} change
 */
export function createOptions({ library }, change) {
  /** @type {import("./state.js").State} */
  let state;
  const button = panelButton({ label: "Search options", icon: "lines", text: "Options", content });
  return {
    button,
    /** @param {import("./state.js").State} now */
    show(now) {
      state = now;
      const changed = now.rerank !== null || now.regions || now.noCopies;
      button.querySelector("button").setAttribute("aria-pressed", String(changed));
    },
  };

  function content() {
    return h("div", { class: "stack" }, h("h3", null, "Show"),
      toggle("Scores", "How sure each answer is, and its score", state.scores, (on) => change({ scores: flag(on) })),
      toggle("What re-ranking changed", "Places up and down against the order by descriptors alone", state.changes, (on) => change({ changes: flag(on) })),
      h("h3", null, "Search"),
      toggle("Parts of the image too", "Finds several things; without it, parts are searched only where nothing is found", state.regions, (on) => change({ regions: flag(on) }), !library.regions || !canSearchRegions(state)),
      toggle("Leave out exact copies", "Files with the same bytes as the image searched for", state.noCopies, (on) => change({ nocopies: flag(on) })),
      rerankers());
  }

  function rerankers() {
    const name = uid("rerank");
    const list = h("div", { class: "rerankers stack", hidden: !state.rerank?.length });
    const picked = new Set(state.rerank ?? []);
    const send = () => change({ rerank: [...picked].join(",") || "none" });
    fill(list, (library.rerankers ?? []).map(({ name: method, summary }) =>
      toggle(method, summary, picked.has(method), (on) => {
        if (on) picked.add(method);
        else picked.delete(method);
        send();
      })));
    const modes = [
      ["default", "As the recipe of the library says", state.rerank === null, () => change({ rerank: null })],
      ["none", "None: by descriptors alone", state.rerank?.length === 0, () => change({ rerank: "none" })],
      ["chosen", "Chosen ones", Boolean(state.rerank?.length), () => {}],
    ];
    return h("fieldset", { class: "field" }, h("legend", null, "Re-ranking"), modes.map(([value, text, checked, run]) =>
      h("label", { class: "choice small" }, h("input", { type: "radio", name, value, checked, on: { change: () => {
        list.hidden = value !== "chosen";
        run();
      } } }), text)), list);
  }
}

function flag(on) {
  return on ? "1" : null;
}

function toggle(label, summary, checked, run, disabled = false) {
  const id = uid("switch");
  const note = `${id}-note`;
  return h("label", { class: "switch switch-wide" }, h("span", { class: "switch-text" }, h("span", null, label), h("span", { class: "soft tiny", id: note }, summary)),
    h("input", { id, type: "checkbox", role: "switch", checked, disabled, "aria-label": label, "aria-describedby": note, on: { change: (event) => run(event.target.checked) } }));
}
