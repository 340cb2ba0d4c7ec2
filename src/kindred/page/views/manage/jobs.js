/** The jobs of the library that run, were interrupted or have just ended: updates from folders, and images that are added again. */

import { h } from "../../lib/dom.js";
import { count } from "../../lib/images.js";
import { jobPanel } from "../../lib/jobs.js";
import { toastError } from "../../lib/toast.js";

const SUMMARIES = { index: indexText, restore: restoreText };

/**
 * @typedef {{element: HTMLElement, add: (job: import("../../lib/jobs.js").Job, options?: {focus?: boolean}) => void,
 *   running: (kind: string) => boolean, listen: (listener: () => void) => () => void, stop: () => void}} Jobs
 * @param {import("../../app.js").Context} context
 * @returns {Jobs}
 */
export function createJobs(context) {
  const { api, library } = context;
  const element = h("div", { class: "jobs" });
  /** @type {Map<string, {kind: string, running: boolean, stop: () => void}>} */
  const shown = new Map();
  const listeners = new Set();
  let stopped = false;
  void find();
  return {
    element,
    add,
    running: (kind) => [...shown.values()].some((job) => job.kind === kind && job.running),
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stop() {
      stopped = true;
      for (const { stop } of shown.values()) stop();
    },
  };

  /** Jobs that were started before, from here or elsewhere, and those that ended with the server. */
  async function find() {
    const { jobs } = await api.get("/jobs");
    if (stopped) return;
    for (const job of jobs) if (job.kind in SUMMARIES && (job.state === "running" || shows(job))) add(job);
  }

  /** Whether a job was interrupted and can be started again here. */
  function shows({ state }) {
    return state === "interrupted" && !library.read_only;
  }

  function add(job, { focus = false } = {}) {
    if (shown.has(job.id)) return;
    const entry = { kind: job.kind, running: job.state === "running", stop: () => {} };
    shown.set(job.id, entry);
    const panel = jobPanel(context, job, { summary: SUMMARIES[job.kind], ended, closed: () => shown.delete(job.id), again: (next) => add(next, { focus: true }) });
    entry.stop = panel.stop;
    element.prepend(panel.element);
    if (focus) panel.element.focus();
    changed();

    async function ended() {
      entry.running = false;
      try {
        await library.reload();
      } catch (error) {
        toastError(error);
      }
      if (!stopped) changed();
    }
  }

  function changed() {
    for (const listener of [...listeners]) listener();
  }
}

/** What an undone removal has done. @param {import("../../lib/jobs.js").Job} job */
function restoreText({ result }) {
  const { restored, missing } = result;
  return `${count(restored, "image")} added again${missing.length > 0 ? `, ${missing.length.toLocaleString()} could not be` : ""}.`;
}

/** What an update has done, in one line. @param {import("../../lib/jobs.js").Job} job */
export function indexText({ result }) {
  const { indexed, unchanged, moved, removed, missing, held } = result;
  const words = [
    indexed > 0 && `${count(indexed, "image")} added or described again`,
    unchanged > 0 && `${count(unchanged, "image")} had not changed`,
    moved > 0 && `${count(moved, "image")} moved or renamed`,
    removed > 0 && `${count(removed, "image")} removed, whose files are gone`,
    missing > removed && `the files of ${count(missing - removed, "image")} are missing${held.length > 0 ? ` (${held.join("; ")})` : ""}`,
  ].filter(Boolean);
  return words.length > 0 ? `${words.join(" · ")}.` : "No images found.";
}
