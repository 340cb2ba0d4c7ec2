/** The job that makes a map: its progress, and a button to cancel it. */

import { fill, h } from "../../lib/dom.js";
import { followJob } from "../../lib/jobs.js";
import { toast, toastError } from "../../lib/toast.js";

const THUMBNAILS = "Making thumbnails";

/**
 * @param {import("../../app.js").Context} context
 * @param {{placed: () => void, ended: () => void}} options placed: positions are there, thumbnails follow
 */
export function createJobPanel({ api }, { placed, ended }) {
  let id = null;
  let unfollow = null;
  let stage = "";
  const meter = h("i");
  const words = h("p", { class: "small" });
  const bar = h("div", { class: "meter", role: "progressbar", "aria-label": "Making the map", "aria-valuemin": 0, "aria-valuemax": 100 }, meter);
  const cancel = h("button", { class: "button button-small", type: "button", on: { click: () => void stop() } }, "Cancel");
  const element = h("div", { class: "map-job", hidden: true }, h("div", { class: "spread" }, words, cancel), bar);
  return { element, start, follow, running: () => id !== null, close: () => unfollow?.() };

  async function start(method, anew) {
    const job = await api.post("/map", { method, anew });
    follow(job.id);
    show(job);
  }

  function follow(job) {
    unfollow?.();
    id = job;
    stage = "";
    element.hidden = false;
    words.textContent = "Making the map …";
    unfollow = followJob(api, job, { changed: show, ended: (last) => end(last?.problem) });
  }

  function show(state) {
    const share = state.total > 0 ? state.done / state.total : 0;
    const known = state.total > 0 && state.done > 0;
    bar.classList.toggle("busy", !known);
    meter.hidden = !known;
    bar.style.setProperty("--done", `${100 * share}%`);
    if (known) bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    else bar.removeAttribute("aria-valuenow");
    const left = state.seconds_left > 1 ? `, about ${Math.ceil(state.seconds_left)} s left` : "";
    const name = state.stage || "Making the map";
    words.textContent = known ? `${name}: ${state.done.toLocaleString()} of ${state.total.toLocaleString()}${left}` : `${name} …`;
    if (state.stage === THUMBNAILS && stage !== THUMBNAILS) placed();
    stage = state.stage;
  }

  function end(problem) {
    [unfollow, id] = [null, null];
    element.hidden = true;
    fill(cancel, "Cancel");
    if (problem) toast([problem.detail, problem.hint].filter(Boolean).join(". "), { kind: "bad" });
    ended();
  }

  async function stop() {
    try {
      await api.del(`/jobs/${encodeURIComponent(id)}`);
      fill(cancel, "Stopping …");
    } catch (error) {
      toastError(error);
    }
  }
}
