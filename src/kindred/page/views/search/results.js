/**
 * The answers of a search: those above the line in one grid, those below in another, which is closed at first.
 *
 * @typedef {import("../../lib/images.js").Image} Image
 * @typedef {import("./state.js").State} State
 */

import { announce } from "../../lib/announce.js";
import { fill, h } from "../../lib/dom.js";
import { Grid } from "../../lib/grid.js";
import { icon } from "../../lib/icons.js";
import { aspectOf, count, thumbnailSize } from "../../lib/images.js";
import { shownAspect } from "../../lib/justified.js";
import { createLine } from "./line.js";
import { createMarks } from "./marks.js";
import { Search } from "./searching.js";
import { queryParams } from "./state.js";
import { byDate, changesAgainst, splitAt } from "./split.js";
import { answerName, overlay } from "./tile.js";

/**
 * @param {import("../../app.js").Context} context
 * @param {{
 *   open: (ids: string[], at: number, known: (id: string) => any) => void, similar: (image: Image) => void,
 *   why: (image: Image) => void, change: (changes: Record<string, unknown>, options?: {replace?: boolean}) => void,
 *   drawn: () => void,
 * }} options
 */
export function createResults(context, { open, similar, why, change, drawn }) {
  const { api, library } = context;
  /** @type {State} */
  let state;
  let shown = { above: [], below: [], known: false };
  let changes = new Map();
  const search = new Search(context, { changed: draw });
  const marks = createMarks({ again: (right, wrong) => change({ right, wrong, below: null }), changed: () => grids.forEach((grid) => grid.refresh()) });
  const line = createLine({ moved: (value) => change({ line: value }, { replace: true }), toggle: () => change({ below: state.below ? null : "1" }, { replace: true }) });

  const title = h("h2", { class: "results-title" });
  const note = h("p", { class: "soft small" });
  const busy = h("div", { class: "busy", hidden: true });
  const message = h("div", { class: "empty results-empty", hidden: true });
  const above = makeGrid("Images that probably show the same thing", () => shown.above, 0);
  const below = makeGrid("Images that are less alike", () => shown.below, 1);
  const grids = [above, below];
  above.element.classList.add("grid-above");
  below.element.classList.add("grid-below");
  const end = h("p", { class: "results-end soft small", hidden: true });
  const element = h("section", { class: "results", "aria-label": "Answers" },
    h("div", { class: "results-head" }, title, note), h("div", { class: "results-busy" }, busy), marks.element, message,
    above.element, line.element, below.element, end);

  return {
    element, marks, grids, show,
    /** The images now shown, in order. */
    images,
    above: () => shown.above,
    known: (id) => search.answers.find((answer) => answer.id === id),
    destroy: () => { search.stop(); grids.forEach((grid) => grid.destroy()); },
    hide: () => { search.stop(); element.hidden = true; },
  };

  function images() {
    return [...shown.above, ...(state?.below ? shown.below : [])];
  }

  /** @param {State} now */
  function show(now) {
    state = now;
    element.hidden = false;
    marks.show(now);
    if (!search.start(now)) draw();
  }

  function draw() {
    const { answers, running, error } = search;
    const at = state.line ?? usual();
    const parts = splitAt(answers, at);
    shown = { ...parts, above: inOrder(parts.above) };
    changes = state.changes && search.baseline ? changesAgainst(answers, search.baseline) : new Map();
    busy.hidden = !running;
    element.classList.toggle("results-stale", running && search.stale);
    element.setAttribute("aria-busy", String(running));
    drawMessage(error, at);
    drawTitle(at);
    above.show(listed(shown.above));
    line.show({ ...shown, at, open: state.below, more: search.more });
    line.element.hidden = !shown.known || answers.length === 0;
    below.element.classList.toggle("grid-closed", !state.below);
    below.show(state.below ? listed(shown.below) : { ids: [], aspects: [], count: 0 });
    end.hidden = search.more || running || answers.length === 0 || (shown.known && !state.below);
    end.textContent = "That is all.";
    if (!running && !error && search.fresh) {
      search.fresh = false;
      announce(`${title.textContent}. ${shown.known ? `${count(shown.below.length, "image")} less alike` : ""}`);
    }
    drawn();
  }

  /** The line of the library's calibration, where an answer is as probably wrong as right. */
  function usual() {
    return library.line ?? 0.5;
  }

  function inOrder(some) {
    return state.sort === "newest" || state.sort === "oldest" ? byDate(some, state.sort) : some;
  }

  function drawTitle(at) {
    const { answers, running, seconds } = search;
    const number = shown.above.length;
    const open = search.more && shown.below.length === 0;
    if (running && answers.length === 0) title.textContent = "Searching …";
    else if (search.error) title.textContent = "";
    else if (!shown.known) title.textContent = answers.length > 0 ? "Most alike first" : "No image matches";
    else if (number === 0 && at <= usual()) title.textContent = "Nothing here shows the same thing";
    else if (number === 0) title.textContent = "No image above the line";
    else if (at < usual()) title.textContent = `${count(number, "image")} above the line`;
    else title.textContent = `${open ? "At least " : ""}${count(number, "image")} ${number === 1 ? "shows" : "show"} the same thing`;
    note.textContent = !running && answers.length > 0 && seconds ? `${seconds < 0.0995 ? Math.max(1, Math.round(seconds * 1000)) + " ms" : seconds.toFixed(1) + " s"}` : "";
  }

  function drawMessage(error, at) {
    const { answers, running } = search;
    const nothing = !running && !error && shown.known && shown.above.length === 0;
    const none = !running && !error && answers.length === 0;
    message.hidden = !(error || nothing || none);
    if (error) {
      const reset = h("button", { class: "button", type: "button", on: { click: () => change({ rerank: null, regions: null }) } }, "Search without these options");
      const again = h("button", { class: "button button-primary", type: "button", on: { click: () => search.again() } }, "Try again");
      const without = searchWithout(error);
      const lost = without && h("button", { class: "button button-primary", type: "button", on: { click: () => change(without) } }, "Search without it");
      const text = without ? "An image of this search is no longer on the server." : error.message;
      fill(message, icon("warning"), h("h2", null, "This search did not work"), h("p", null, text), !without && error.hint && h("p", null, error.hint),
        h("div", { class: "row" }, !without && (state.rerank || state.regions) && reset, lost ?? again));
    } else if (nothing && at <= usual()) {
      fill(message, icon("search"), h("p", null, "The most alike images are below the line, but they probably show something else."));
    } else if (nothing) {
      fill(message, icon("search"), h("p", null, "No image is that sure. Move the line down to see more."));
    } else if (none) {
      fill(message, icon("filter"), h("p", null, "No image of the library passes the filters."));
    }
  }

  /** The changes that leave out an image that the server no longer has, which the problem names; null for other errors. */
  function searchWithout(error) {
    if (error.status !== 404) return null;
    const here = (id) => !error.message.includes(id);
    const [query, right, wrong] = [state.query.filter(({ id }) => here(id)), state.right.filter(here), state.wrong.filter(here)];
    const found = query.length + right.length + wrong.length < state.query.length + state.right.length + state.wrong.length;
    return found ? { ...queryParams(query), right, wrong } : null;
  }

  function makeGrid(label, list, part) {
    return new Grid({
      label,
      source: (id, pixels) => api.thumbnail(id, thumbnailSize(pixels)),
      describe: (index) => (list()[index] ? answerName(list()[index], options(list()[index])) : ""),
      decorate: (index) => (list()[index] ? overlay(list()[index], options(list()[index])) : null),
      open: (index) => {
        const all = images();
        open(all.map(({ id }) => id), index + part * shown.above.length, (id) => all.find((image) => image.id === id));
      },
      key: (event, index) => handled(event.key, list()[index]),
      near: () => near(part),
      target: () => target(list()),
    });
  }

  function options(image) {
    return {
      similar, why, mark: marks.toggle, marked: marks.of(image.id), scores: state.scores,
      change: changes.size > 0 ? changes.get(image.id) : undefined,
    };
  }

  function handled(key, image) {
    const run = { s: similar, w: why, "+": (each) => marks.toggle(each, "right"), "-": (each) => marks.toggle(each, "wrong") }[key];
    if (!run || !image) return false;
    run(image);
    return true;
  }

  /** The height of rows: larger where there are few answers, which are worth it, so that up to six fill one row. */
  function target(some) {
    const usualHeight = innerWidth < 640 ? 132 : 210;
    const most = innerWidth < 640 ? 190 : 320;
    if (some.length > 6) return some.length > 12 ? usualHeight : usualHeight * 1.15;
    const filling = above.element.clientWidth / some.reduce((sum, image) => sum + shownAspect(aspectOf(image)), 0);
    return Math.max(usualHeight, Math.min(most, filling));
  }

  /** More answers are fetched while the last ones seen are above the line, or what lies below is open. */
  function near(part) {
    const wanted = part === 1 ? state.below : !shown.known || shown.below.length === 0;
    if (wanted && search.more && !search.running) void search.next();
  }
}

function listed(images) {
  return { ids: images.map(({ id }) => id), aspects: images.map(aspectOf), count: images.length };
}
