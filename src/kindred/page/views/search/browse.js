/** All images of the library, by date: what one sees before anything is searched for. */

import { fill, h } from "../../lib/dom.js";
import { Grid } from "../../lib/grid.js";
import { icon } from "../../lib/icons.js";
import { aspectOf, count, monthText, nameOf, thumbnailSize } from "../../lib/images.js";
import { describe, makeSelectable, tick } from "../../lib/selection.js";
import { toastError } from "../../lib/toast.js";
import { filterParams, isFiltered } from "./state.js";
import { overlay } from "./tile.js";

const PAGE = 200; // Records at first.
const MOST_RECORDS = 5000; // Beyond, the names of images are fetched when one is opened.
const ORDERS = {
  newest: { sort: "taken", order: "desc" }, oldest: { sort: "taken", order: "asc" },
  added: { sort: "added", order: "desc" }, path: { sort: "path", order: "asc" },
};

/** The orders as they are offered, the default first. */
export const SORTS = [["", "Newest first"], ["oldest", "Oldest first"], ["added", "Last added first"], ["path", "By folder and name"]];

/**
 * @typedef {import("../../lib/selection.js").Selection} Selection
 * @param {import("../../app.js").Context} context
 * @param {{open: (ids: string[], at: number, known: (id: string) => any) => void, similar: (image: any) => void,
 *   selection?: Selection}} options selection: images can be selected
 */
export function createBrowse({ api, library, router }, { open, similar, selection }) {
  /** @type {Map<string, import("../../lib/images.js").Image>} */
  const records = new Map();
  let stop = new AbortController();
  let shown = "";
  /** @type {string[]} */
  let headings = [];
  const heading = h("h2", { class: "results-title" });
  const note = h("p", { class: "soft small", role: "status" });
  const empty = h("div", { class: "empty", hidden: true });
  const grid = new Grid({
    label: "Images of the library",
    source: (id, pixels) => api.thumbnail(id, thumbnailSize(pixels)),
    describe: (index, id) => (selection ? describe(selection, id, name(index, id)) : name(index, id)),
    decorate: (index, id) => [selection && tick(selection, id, name(index, id)), records.has(id) && overlay(records.get(id), { similar })],
    heading: (section) => h("h3", null, headings[section]),
    open: (index) => open(grid.images.ids, index, (id) => records.get(id)),
    key: (event, index, id) => {
      if (selecting?.key(event, index, id)) return true;
      if (event.key !== "s" || !records.has(id)) return false;
      similar(records.get(id));
      return true;
    },
  });
  const element = h("section", { class: "browse", "aria-label": "Library" }, h("div", { class: "results-head" }, heading, note), empty, grid.element);

  const selecting = selection && makeSelectable(grid, selection);
  return {
    element,
    show,
    grid,
    /** What is known of some images has changed. @param {string[]} ids */
    forget(ids) {
      for (const id of ids) records.delete(id);
    },
    hide: () => stop.abort(),
    destroy() {
      stop.abort();
      selecting?.stop();
      grid.destroy();
    },
  };

  function name(index, id) {
    return records.has(id) ? nameOf(records.get(id).path) : `Image ${index + 1}`;
  }

  /** Show the library with a filter and an order. */
  async function show({ filter, sort }) {
    const order = ORDERS[sort] ?? ORDERS.newest;
    const wanted = JSON.stringify([filter, order, library.revision]);
    element.hidden = false;
    if (wanted === shown) return;
    shown = wanted;
    stop.abort();
    stop = new AbortController();
    try {
      await load({ ...filterParams(filter), ...order }, isFiltered(filter), order.sort === "taken", stop.signal);
    } catch (error) {
      if (api.aborted(error)) return;
      shown = "";
      toastError(error);
    }
  }

  /** The first records at once, then the shapes of all images, so that the scrollbar reaches the last one. */
  async function load(params, filtered, dated, signal) {
    const timeline = dated ? api.get("/timeline", { params: filtersOf(params), signal }) : null;
    const first = await api.get("/images", { params: { ...params, limit: PAGE }, signal });
    for (const image of first.images) records.set(image.id, image);
    heading.textContent = count(first.total, "image");
    note.textContent = filtered ? `of ${count(library.images, "image")}` : "";
    empty.hidden = first.total > 0;
    if (first.total === 0) drawEmpty(filtered);
    const sections = timeline ? sectionsOf(await timeline, first.total, params.order) : { breaks: [], names: [] };
    headings = sections.names;
    const all = { ids: first.images.map(({ id }) => id), aspects: first.images.map(aspectOf) };
    showImages(all, sections.breaks);
    let drawn = all.ids.length;
    for (let after = first.next; after;) {
      const part = await api.get("/images/layout", { params: { ...params, after }, signal });
      all.ids.push(...part.ids);
      all.aspects.push(...part.aspect);
      after = part.next;
      // Laid out again each time the number has doubled, so that a million images take twenty layouts, not a hundred.
      if (after && all.ids.length < drawn * 2) continue;
      drawn = all.ids.length;
      showImages(all, sections.breaks);
    }
    await loadRest(params, first.next, signal);
  }

  /** Names and dates of further images follow; the grid does not wait for them. */
  async function loadRest(params, cursor, signal) {
    for (let after = cursor; after && records.size < MOST_RECORDS;) {
      const { images, next } = await api.get("/images", { params: { ...params, limit: 500, after }, signal });
      for (const image of images) records.set(image.id, image);
      after = next;
      grid.refresh();
    }
  }

  function showImages({ ids, aspects }, breaks) {
    grid.show({ ids, aspects, count: ids.length, breaks: breaks.filter((at) => at < ids.length) });
  }

  function drawEmpty(filtered) {
    fill(empty, icon(filtered ? "filter" : "library"), h("h2", null, filtered ? "No image matches these filters" : "The library is empty"),
      h("p", null, filtered ? "Remove a filter to see more." : "Add a folder or single images under Library."),
      !filtered && !library.read_only && h("a", { class: "button button-primary", href: router.href("manage") }, icon("plus"), "Add images"));
  }
}

function filtersOf({ sort: _, order: __, ...filters }) {
  return filters;
}

const FEW = 8; // Images in a section on average; with fewer, headings would take more room than images.

/**
 * The sections of a timeline: the first image of each month, or of each year where months have few images.
 * @param {{months: {month: string, images: number}[], undated: number}} timeline
 * @param {number} total number of images
 * @param {string} order asc or desc
 * @returns {{breaks: number[], names: string[]}}
 */
export function sectionsOf({ months, undated }, total, order) {
  const counted = months.reduce((sum, { images }) => sum + images, undated);
  // The library has changed between the two answers: no headings rather than wrong ones.
  if (counted !== total || months.length === 0) return { breaks: [], names: [] };
  const monthly = months.map(({ month, images }) => ({ name: monthText(month), images }));
  const dated = [monthly, yearsOf(months)].find((parts) => total >= FEW * parts.length) ?? [];
  if (dated.length === 0) return { breaks: [], names: [] };
  const none = undated > 0 ? [{ name: "Without a date", images: undated }] : [];
  const sections = order === "desc" ? [...dated.toReversed(), ...none] : [...none, ...dated];
  const breaks = sections.map((_, at) => sections.slice(0, at).reduce((sum, { images }) => sum + images, 0));
  return { breaks, names: sections.map(({ name }) => name) };
}

function yearsOf(months) {
  const years = new Map();
  for (const { month, images } of months) years.set(month.slice(0, 4), (years.get(month.slice(0, 4)) ?? 0) + images);
  return [...years].map(([name, images]) => ({ name, images }));
}
