/**
 * Background jobs of the server: followed by their events, and shown with their progress.
 *
 * @typedef {{
 *   id: string, kind: string, title: string, state: "running" | "done" | "failed" | "cancelled" | "interrupted", stopping: boolean, stage: string,
 *   unit: string, done: number, total: number, rate: number | null, seconds: number, seconds_left: number | null,
 *   skipped: number, skipped_files: Skip[], result: any, problem: {title: string, detail: string, hint?: string} | null,
 *   again: {path: string, body: Record<string, unknown>} | null,
 * }} Job again: the request that starts the same job
 * @typedef {{path: string, reason: string}} Skip
 */

import { announce } from "./announce.js";
import { fill, h, isolated, put } from "./dom.js";
import { icon } from "./icons.js";
import { count, nameOf, pathText } from "./images.js";
import { toastError } from "./toast.js";
import { durationText, leftText, rateText } from "./units.js";

const AGAIN = 1500; // milliseconds between two looks at a job whose events cannot be read
const NAMED = 200; // files named for each reason

/**
 * Follow a job until it ends.
 * @param {typeof import("./api.js")} api
 * @param {string} id
 * @param {{changed: (job: Job) => void, ended?: (job: Job | null) => void}} options
 *   changed: called with the job after each event; ended: null if the server does not know it any more
 * @returns {() => void} stops following, not the job
 */
export function followJob(api, id, { changed, ended }) {
  /** @type {Skip[]} */
  let files = [];
  let timer = 0;
  let over = false;
  const stop = api.events(`/jobs/${id}/events`, {
    progress: take,
    skipped: ({ skipped_files: more }) => files.push(...more),
    done: take,
    failed: take,
    cancelled: take,
    interrupted: take,
    error: () => void look(),
  });
  return () => {
    over = true;
    clearTimeout(timer);
    stop();
  };

  function take(job) {
    if (over) return;
    // A full list comes in place of events that the server has dropped.
    if (job.skipped_files.length > 0) files = [...job.skipped_files];
    changed({ ...job, skipped_files: files });
    if (job.state === "running") return;
    over = true;
    stop();
    ended?.({ ...job, skipped_files: files });
  }

  /** Ask for the job itself, where its events cannot be read. */
  async function look() {
    if (over) return;
    try {
      take(await api.get(`/jobs/${id}`));
      if (!over) timer = setTimeout(() => void look(), AGAIN);
    } catch (error) {
      if (over) return;
      if (error.status === 404) {
        over = true;
        ended?.(null);
      } else {
        timer = setTimeout(() => void look(), AGAIN);
      }
    }
  }
}

/**
 * A job with its progress, what it skipped, and a button that cancels it.
 * @param {{api: typeof import("./api.js")}} context
 * @param {Job} first
 * @param {{summary?: (job: Job) => string, ended?: (job: Job | null) => void, closed?: () => void, again?: (job: Job) => void}} [options]
 *   summary: what a job that is done has done; closed: the panel was put away; again: a job that was interrupted was
 *   started again, as this one
 * @returns {{element: HTMLElement, stop: () => void}}
 */
export function jobPanel({ api }, first, { summary, ended, closed, again } = {}) {
  const meter = h("div", { class: "meter", role: "progressbar", "aria-label": first.title, "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
  const line = h("p", { class: "job-line numbers" });
  const cancel = h("button", { class: "button button-small", type: "button", on: { click: () => void cancelled() } }, "Cancel");
  const restart = h("button", { class: "button button-small", type: "button", hidden: true, on: { click: () => void restarted() } }, icon("refresh"), "Start again");
  const away = h("button", { class: "icon-button", type: "button", "aria-label": "Close", hidden: true, on: { click: () => void putAway() } }, icon("close"));
  /** @type {Job | null} */
  let last = null;
  const title = h("h3", null, first.title);
  const skips = skippedList();
  const element = h("section", { class: "job panel", "aria-label": first.title, tabindex: -1 },
    h("div", { class: "job-head" }, title, cancel, restart, away), meter, line, skips.element);
  draw(first);
  const stop = followJob(api, first.id, { changed: draw, ended: end });
  return { element, stop };

  function draw(job) {
    const share = job.total > 0 ? Math.min(1, job.done / job.total) : null;
    meter.classList.toggle("meter-unknown", share === null && job.state === "running");
    meter.style.setProperty("--done", `${(share ?? 0) * 100}%`);
    if (share === null) meter.removeAttribute("aria-valuenow");
    else meter.setAttribute("aria-valuenow", String(Math.floor(share * 100)));
    put(meter, { "aria-valuetext": runningText(job) });
    fill(line, job.stopping ? "Stopping …" : runningText(job));
    // Not disabled: the focus would be lost.
    cancel.setAttribute("aria-disabled", String(job.stopping));
    skips.show(job.skipped_files, job.skipped);
  }

  function end(job) {
    const [text, sign] = endText(job, summary);
    last = job;
    const held = element.contains(document.activeElement);
    meter.hidden = true;
    cancel.hidden = true;
    away.hidden = false;
    restart.hidden = !(again && job?.state === "interrupted" && job.again);
    element.classList.add(`job-${job?.state ?? "failed"}`);
    fill(title, icon(sign), ` ${first.title}`);
    fill(line, text);
    // The button that had the focus is gone.
    if (held) (restart.hidden ? away : restart).focus();
    announce(text);
    ended?.(job);
  }

  /** The server forgets a job that was interrupted once it was seen. */
  async function putAway() {
    element.remove();
    closed?.();
    if (last?.state === "interrupted") await api.del(`/jobs/${first.id}`).catch(() => {});
  }

  async function restarted() {
    try {
      const next = await api.post(last.again.path, last.again.body);
      element.remove();
      closed?.();
      again(next);
    } catch (error) {
      toastError(error);
    }
  }

  async function cancelled() {
    if (cancel.getAttribute("aria-disabled") === "true") return;
    cancel.setAttribute("aria-disabled", "true");
    try {
      await api.del(`/jobs/${first.id}`);
    } catch (error) {
      cancel.setAttribute("aria-disabled", "false");
      toastError(error);
    }
  }
}

/** "Describing images · 120 of 4,000 files · 45 per second · about 2 minutes left" @param {Job} job */
export function runningText({ stage, done, total, unit, rate, seconds_left: left }) {
  const counts = total > 0 ? `${done.toLocaleString()} of ${count(total, one(unit))}` : done > 0 ? count(done, one(unit)) : "";
  return [stage || "Starting", counts, rateText(rate), leftText(left)].filter(Boolean).join(" · ");
}

function one(unit) {
  return unit.replace(/s$/, "");
}

/** What became of a job, and its icon. */
function endText(job, summary) {
  if (!job) return ["The server was restarted meanwhile. What was done is saved; start again to continue.", "warning"];
  if (job.state === "interrupted") return ["The server was stopped before this was done. What was done by then is saved.", "warning"];
  if (job.state === "failed") return [[job.problem?.detail, job.problem?.hint].filter(Boolean).join(". ") || "It failed.", "warning"];
  const text = (job.result && summary?.(job)) || `Done in ${durationText(job.seconds)}.`;
  return job.state === "cancelled" ? [`Cancelled. ${job.result ? text : "What was done is saved."}`, "minus"] : [text, "check"];
}

/**
 * Files that could not be used, grouped by reason, in a list that opens.
 * @returns {{element: HTMLElement, show: (files: Skip[], total: number) => void}}
 */
export function skippedList() {
  const summary = h("summary");
  const body = h("div", { class: "skips-body" });
  const element = h("details", { class: "skips", hidden: true, on: { toggle: () => draw() } }, summary, body);
  /** @type {Skip[]} */
  let files = [];
  let drawn = -1;
  return {
    element,
    show(now, total) {
      files = now;
      element.hidden = total === 0;
      summary.textContent = `${count(total, "file")} could not be used`;
      draw();
    },
  };

  function draw() {
    if (!element.open || drawn === files.length) return;
    drawn = files.length;
    const ordered = [...grouped(files)].sort((a, b) => b[1].length - a[1].length);
    fill(body, ordered.map(([reason, some]) => h("div", { class: "skips-group" },
      h("h4", null, reason, " ", h("span", { class: "soft numbers" }, some.length.toLocaleString())),
      h("ul", null, some.slice(0, NAMED).map(({ path }) => h("li", { title: path }, isolated(nameOf(path)), h("span", { class: "soft tiny" }, pathText(path))))),
      some.length > NAMED && h("p", { class: "soft small" }, `and ${(some.length - NAMED).toLocaleString()} more`))));
  }
}

/** The files of each reason. */
function grouped(files) {
  /** @type {Map<string, Skip[]>} */
  const groups = new Map();
  for (const file of files) {
    if (!groups.has(file.reason)) groups.set(file.reason, []);
    groups.get(file.reason).push(file);
  }
  return groups;
}
