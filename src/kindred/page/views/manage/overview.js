/** The first part of the library view: adding images, folders, facts, and what could not be used. */

import { h } from "../../lib/dom.js";
import { createAdding } from "./adding.js";
import { createFacts } from "./facts.js";
import { createFolders } from "./folders.js";
import { createRemoved } from "./removed.js";

/**
 * @param {import("../../app.js").Context} context
 * @param {{jobs: import("./jobs.js").Jobs}} parts
 */
export function createOverview(context, { jobs }) {
  const { library } = context;
  const facts = createFacts(context);
  const folders = createFolders(context, jobs);
  const adding = createAdding(context, { added: () => void refresh() });
  const removed = createRemoved(context, jobs);
  const element = h("div", { class: "overview" }, h("div", { class: "overview-main" }, !library.read_only && adding.element, folders.element, removed.element), facts.element);
  const unlisten = jobs.listen(draw);
  draw();
  return {
    element,
    stop() {
      unlisten();
      adding.stop();
    },
  };

  async function refresh() {
    await library.reload();
    draw();
  }

  function draw() {
    facts.draw();
    folders.draw();
    void removed.draw();
  }
}
