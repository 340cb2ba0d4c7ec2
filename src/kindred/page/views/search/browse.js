/** All images of the library, by date: what one sees before anything is searched for. */

import { fill, h } from "../../lib/dom.js";
import { Grid } from "../../lib/grid.js";
import { icon } from "../../lib/icons.js";
import { aspectOf, count, monthText, nameOf, thumbnailSize } from "../../lib/images.js";
import { toastError } from "../../lib/toast.js";
import { filterParams, isFiltered } from "./state.js";
import { overlay } from "./tile.js";

const PAGE = 200; // Records at a time.
const ORDERS = {
  newest: { sort: "taken", order: "desc" }, oldest: { sort: "taken", order: "asc" },
  added: { sort: "added", order: "desc" }, path: { sort: "path", order: "asc" },
};

/**
 * @param {import("../../app.js").Context} context
 * @param {{open: (ids: string[], at: number, known: (id: string) => any) => void, similar: (image: any) => void}} options
 */
export function createBrowse({ api, library }, { open, similar }) {
  /** @type {Map<string, import("../../lib/images.js").Image>} */
  const records = new Map();
  let stop = new AbortController();
  let shown = "";
  let months = [];
  const heading = h("h2", { class: "results-title" });
  const note = h("p", { class: "soft small", role: "status" });
  const empty = h("div", { class: "empty", hidden: true });
  const grid = new Grid({
    label: "Images of the library",
    source: (id, height) => api.thumbnail(id, thumbnailSize(height)),
    describe: (index, id) => (records.has(id) ? nameOf(records.get(id).path) : `Image ${index + 1}`),
    decorate: (_, id) => (records.has(id) ? overlay(records.get(id), { similar }) : null),
    heading: (section) => h("h3", null, months[section]),
    open: (index) => open(grid.images.ids, index, (id) => records.get(id)),
    key: (event, _, id) => {
      if (event.key !== "s" || !records.has(id)) return false;
      similar(records.get(id));
      return true;
    },
  });
  const element = h("section", { class: "browse", "aria-label": "Library" }, h("div", { class: "results-head" }, heading, note), empty, grid.element);

  return { element, show, grid, hide: () => stop.abort(), destroy: () => { stop.abort(); grid.destroy(); } };

  /** Show the library with a filter and an order. */
  async function show({ filter, sort }) {
    const order = ORDERS[sort] ?? ORDERS.newest;
    const wanted = JSON.stringify([filter, order, library.images]);
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
    const first = await api.get("/images", { params: { ...params, limit: PAGE }, signal });
    for (const image of first.images) records.set(image.id, image);
    heading.textContent = count(first.total, "image");
    note.textContent = filtered ? `of ${count(library.images, "image")}` : "";
    empty.hidden = first.total > 0;
    if (first.total === 0) drawEmpty(filtered);
    const sized = { ids: first.images.map(({ id }) => id), aspects: first.images.map(aspectOf) };
    showImages(sized, dated);
    if (!first.next) return;
    let after = null;
    const all = { ids: [], aspects: [] };
    do {
      const part = await api.get("/images/layout", { params: { ...params, after }, signal });
      all.ids.push(...part.ids);
      all.aspects.push(...part.aspect);
      after = part.next;
      if (all.ids.length >= sized.ids.length) showImages(all, dated);
    } while (after);
    await loadRest(params, first.next, signal);
  }

  /** Names and dates follow in the background; the grid does not wait for them. */
  async function loadRest(params, cursor, signal) {
    for (let after = cursor; after && records.size < 5000;) {
      const { images, next } = await api.get("/images", { params: { ...params, limit: 500, after }, signal });
      for (const image of images) records.set(image.id, image);
      after = next;
      grid.refresh();
    }
  }

  function showImages({ ids, aspects }, dated) {
    const sections = dated ? monthsOf(ids) : { breaks: [], names: [] };
    months = sections.names;
    grid.show({ ids, aspects, count: ids.length, breaks: sections.breaks });
  }

  /** The months of the images whose date is known; further images stay in the last one. */
  function monthsOf(ids) {
    const breaks = [];
    const names = [];
    let last = null;
    for (const [index, id] of ids.entries()) {
      const image = records.get(id);
      if (!image) break;
      const month = image.taken?.slice(0, 7) ?? "";
      if (month === last) continue;
      breaks.push(index);
      names.push(month ? monthText(month) : "Without a date");
      last = month;
    }
    // One heading for everything says nothing.
    return names.length > 1 || names[0] !== "Without a date" ? { breaks, names } : { breaks: [], names: [] };
  }

  function drawEmpty(filtered) {
    fill(empty, icon(filtered ? "filter" : "library"), h("h2", null, filtered ? "No image matches these filters" : "The library is empty"),
      h("p", null, filtered ? "Remove a filter to see more." : "Add a folder or single images under Library."));
  }
}
