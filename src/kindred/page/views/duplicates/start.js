/** Before there are groups: what a search for duplicates does, and its progress. */

import { fill, h } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count } from "../../lib/images.js";
import { jobPanel } from "../../lib/jobs.js";
import { toastError } from "../../lib/toast.js";

/**
 * @param {import("../../app.js").Context} context
 * @param {{ended: () => void}} options ended: a search has ended
 */
export function createStart(context, { ended }) {
  const { api, library } = context;
  const element = h("div", { class: "duplicates-start" });
  /** @type {{stop: () => void} | null} */
  let panel = null;
  let interrupted = false;
  return { element, invite, search, resume, destroy: () => panel?.stop() };

  /** Nothing was searched yet. */
  function invite() {
    fill(element, h("div", { class: "empty" }, icon("duplicates"), h("h1", null, "Find duplicates"),
      interrupted && h("p", { class: "soft" }, icon("warning"), " The last search was not finished when the server stopped. Start it again."),
      h("p", null, "Identical files, the same picture in another size or format, shots of one burst, and pictures that look alike. Every image is read once; no file is ever changed or deleted."),
      library.images > 1
        ? h("button", { class: "button button-primary", type: "button", on: { click: () => void search() } }, icon("search"), `Search ${count(library.images, "image")}`)
        : h("p", { class: "soft" }, `The library has ${library.images ? "one image" : "no images"}; two at least can be compared.`)));
  }

  /** Start a search and show its progress. @returns {Promise<boolean>} whether it could be started */
  async function search() {
    try {
      follow(await api.post("/duplicates", {}));
      return true;
    } catch (error) {
      if (error.status === 409) return resume();
      toastError(error);
      return false;
    }
  }

  /** Show the search that is running, if there is one. @returns {Promise<boolean>} */
  async function resume() {
    try {
      const { jobs } = await api.get("/jobs");
      const running = jobs.find(({ kind, state }) => kind === "duplicates" && state === "running");
      interrupted = jobs.find(({ kind }) => kind === "duplicates")?.state === "interrupted";
      if (running) follow(running);
      return Boolean(running);
    } catch (error) {
      toastError(error);
      return false;
    }
  }

  function follow(job) {
    panel?.stop();
    panel = jobPanel(context, job, { summary, ended: (last) => last?.state === "done" && ended(), closed: () => invite() });
    fill(element, panel.element);
  }
}

function summary({ result }) {
  const groups = Object.values(result.counts ?? {}).reduce((sum, each) => sum + each, 0);
  return `${count(groups, "group")} among ${count(result.images, "image")}.`;
}
