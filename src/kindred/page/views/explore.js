/** Explore: all images of the library on one map, similar ones near one another, and over time. */

import { fill, h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { count } from "../lib/images.js";
import { loadMap } from "../lib/atlas/data.js";
import { toastError } from "../lib/toast.js";
import { createJobPanel } from "./explore/job.js";
import { createExplorer } from "./explore/explorer.js";

/** @type {import("./table.js").Mount} */
export async function mount(root, context) {
  const { api, library } = context;
  const stop = new AbortController();
  let explorer = null;
  let facts = await api.get("/map", { signal: stop.signal });
  const interrupted = !facts.revision && !facts.job && (await wasInterrupted());
  const job = createJobPanel(context, { placed: () => void refresh(), ended: () => void refresh() });
  if (facts.job) job.follow(facts.job);
  await draw();
  return () => {
    stop.abort();
    job.close();
    explorer?.close();
  };

  /** Look whether there is another map by now, and show it. */
  async function refresh(method) {
    try {
      const now = await api.get("/map", { params: { method: method ?? undefined }, signal: stop.signal });
      const same = now.revision === facts.revision && now.columns_revision === facts.columns_revision;
      facts = now;
      if (same && explorer) explorer.update(facts);
      else await draw();
    } catch (error) {
      if (!api.aborted(error)) toastError(error);
    }
  }

  /** Whether the last map was not finished when the server stopped. */
  async function wasInterrupted() {
    const { jobs } = await api.get("/jobs", { params: { kind: "map" }, signal: stop.signal });
    return jobs[0]?.state === "interrupted";
  }

  async function draw() {
    if (!facts.revision) {
      explorer?.close();
      explorer = null;
      fill(root, invitation());
      return;
    }
    const data = await loadMap(api, facts, stop.signal);
    if (stop.signal.aborted) return;
    const before = explorer?.state();
    explorer?.close();
    explorer = createExplorer(context, data, { job, make, before, changed: () => void refresh(facts.method) });
    fill(root, explorer.element);
    explorer.begin();
  }

  /** Make a map, or show one that was made before. */
  async function make(method, { anew = false } = {}) {
    try {
      const known = await api.get("/map", { params: { method }, signal: stop.signal });
      if (known.revision && !anew && known.new + known.gone === 0) {
        facts = known;
        return await draw();
      }
      await job.start(method, anew);
      if (!facts.revision) fill(root, invitation());
    } catch (error) {
      if (!api.aborted(error)) toastError(error);
    }
    return undefined;
  }

  function invitation() {
    const few = library.images < 4;
    const button = !job.running() && !few && h("button", { class: "button button-primary", type: "button", on: { click: () => void make("tsne") } }, icon("explore"), "Make the map");
    const text = few
      ? "A map needs at least four images. Add some to the library first."
      : `All ${count(library.images, "image")} on one map, similar ones near one another. It is made once, which takes about a minute, and is stored with the library.`;
    return h("div", { class: "empty explore-empty" }, icon("explore"), h("h1", null, "See the whole library"), h("p", null, text),
      interrupted && button && h("p", { class: "soft" }, icon("warning"), " The map was not finished when the server stopped. Make it again."), button, job.element);
  }
}
