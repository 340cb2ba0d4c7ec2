/** The map with all around it: tools, legend, timeline, the list of what is in view, and what is chosen. */

import { colourByDay, colourByGroup, NO_DAY, OTHERS, rgb } from "../../lib/atlas/colours.js";
import { idOf } from "../../lib/atlas/data.js";
import { gestures } from "../../lib/atlas/gestures.js";
import { createInView } from "../../lib/atlas/inview.js";
import { extend } from "../../lib/atlas/lasso.js";
import { AtlasMap } from "../../lib/atlas/map.js";
import { createTimeline } from "../../lib/atlas/timeline.js";
import { fill, h, svg, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count, dateText, nameOf } from "../../lib/images.js";
import { similarParams } from "../search/state.js";
import { createChosen } from "./chosen.js";
import { createLegend } from "./legend.js";
import { createTools } from "./tools.js";

const LISTED = 120;
const MOST_QUERIES = 8; // images that are searched with at once
const WAIT = 90; // ms before the name of what is under the pointer is fetched

/**
 * @param {import("../../app.js").Context} context
 * @param {import("../../lib/atlas/data.js").MapData} data
 * @param {{job: any, make: (method: string, options?: {anew?: boolean}) => Promise<void>, before?: any, changed: () => void}} options
 *   before: the state of an explorer of the map before; changed: tags may be others now
 */
export function createExplorer(context, data, { job, make, before, changed }) {
  const { api, router, library, viewer } = context;
  const { facts } = data;
  const params = router.current().params;
  let colour = before?.colour ?? params.get("by") ?? "folder";
  let time = null;
  let groups = new Set();
  let lassoing = false;
  let line = [];
  let opened = null;
  let hovering = 0;
  const mask = new Uint8Array(data.count).fill(1);

  const help = h("p", { class: "visually-hidden", id: uid("map-help") },
    "Arrow keys move the map, plus and minus zoom, 0 shows all of it. The list after the map holds the images in view.");
  const outline = svg("polygon", { class: "lasso-line" });
  const tip = h("div", { class: "map-tip", hidden: true, "aria-hidden": "true" });
  const stage = h("div", {
    class: "map-stage", tabindex: 0, role: "application", "aria-label": `Map of ${count(data.count, "image")}`, "aria-describedby": help.id,
  }, svg("svg", { class: "lasso", "aria-hidden": "true" }, outline), tip);
  const map = new AtlasMap(stage, data, {
    load: async (sheet, cell, signal) => {
      const given = { cell, method: facts.method, revision: facts.revision };
      return createImageBitmap(await (await api.request("GET", `/map/sheets/${sheet}`, { params: given, signal })).blob());
    },
    moved: () => (tip.hidden = true),
    settled: () => settled(),
    renderer: params.get("renderer"),
  });
  const inView = createInView({
    label: "Images in view",
    source: (at) => api.thumbnail(idOf(data, at), 128),
    fetch: async (at) => (await api.get("/map/images", { params: { at, method: facts.method, revision: facts.revision } })).images,
    idOf: (at) => idOf(data, at),
    chosen: (at) => map.chosen[at] === 1,
    open: (at) => open(at),
    toggle: (at) => toggle(at),
    all: () => choose(listed.images),
    similar: (at) => similar(at),
    focused: (at) => {
      map.mark(at);
      if (at >= 0) map.reveal(at);
    },
  });
  let listed = { images: [], total: 0 };
  const title = h("h2", { class: "side-title" });
  const note = h("p", { class: "soft tiny" });
  const chosen = createChosen(context, {
    search: () => router.go("search", similarParams(...spread(chosenIds(), MOST_QUERIES))),
    ids: chosenIds,
    clear: () => choose([]),
    frame: () => map.frameOn(map.selection()),
    changed,
  });
  const selectAll = h("button", { class: "button button-small", type: "button", title: "Choose all images in view", on: { click: () => choose(all()) } }, "Choose all");
  const side = h("aside", { class: "explorer-side", "aria-label": "Images in view" },
    h("div", { class: "side-head" }, h("h1", { class: "visually-hidden" }, "Explore"), h("div", { role: "status" }, title, note), selectAll), chosen.element, inView.element);
  const legend = createLegend(data, { changed: (now) => { groups = now; refilter(); } });
  const timeline = createTimeline(data.days, {
    changed: (now) => { time = now; refilter(); },
    grid: (range) => router.go("search", { ...range, sort: "oldest" }),
  });
  const tools = createTools({
    facts, state: () => map,
    zoomIn: () => map.zoom(1.7, undefined, undefined, true), zoomOut: () => map.zoom(1 / 1.7, undefined, undefined, true), fit: () => map.fit(),
    lasso: (on) => setLasso(on), colourBy: (name) => colourBy(name),
    set: (given) => map.set(given), method: (name, more) => void make(name, more),
  });
  const stale = h("div", { class: "map-note", hidden: true });
  const element = h("div", { class: "explorer" },
    h("div", { class: "explorer-map" }, stage, help, tools.elements, legend.element, h("div", { class: "map-notes" }, stale, job.element)), timeline.element, side);
  const stop = gestures(stage, {
    pan: (dx, dy) => map.pan(dx, dy), zoom: (...given) => map.zoom(...given), fit: () => map.fit(), hover, press,
    lassoing: () => lassoing, lasso: { begin: (x, y) => draw([x, y]), move: (x, y) => draw(extend(line, x, y)), end: finish, cancel: () => draw([]) },
  });
  const themes = matchMedia("(prefers-color-scheme: dark)");
  const themed = new MutationObserver(retheme);
  themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  themes.addEventListener("change", retheme);
  return { element, begin, update, close, state: () => ({ colour, camera: map.camera, fitted: map.fitted, ids: chosenIds() }) };

  /** Start drawing, once the element is in the document. */
  function begin() {
    map.resize();
    retheme();
    colourBy(colour);
    update(facts);
    const image = params.get("image");
    const place = (params.get("at") ?? "").split(",").map(Number);
    if (before && !before.fitted) map.look(before.camera);
    else if (image) show(image);
    else if (place.length === 3 && place.every(Number.isFinite)) map.look({ x: place[0], y: place[1], scale: place[2] * map.whole().scale });
    if (before?.ids.length > 0) {
      const ids = new Set(before.ids);
      choose(Array.from({ length: data.count }, (_, at) => at).filter((at) => ids.has(idOf(data, at))));
    }
  }

  /** Other facts about the same map: whether the library has changed since. */
  function update(now) {
    const parts = [now.new > 0 && `${count(now.new, "new image")}`, now.gone > 0 && `${count(now.gone, "image")} removed`].filter(Boolean);
    stale.hidden = parts.length === 0 || job.running();
    fill(stale, h("span", null, parts.join(", ")), h("button", { class: "button button-small button-primary", type: "button", on: { click: () => void make(now.method) } }, "Update the map"));
  }

  function close() {
    stop();
    clearTimeout(hovering);
    themed.disconnect();
    themes.removeEventListener("change", retheme);
    timeline.close();
    opened?.close();
    map.close();
  }

  function retheme() {
    const accent = getComputedStyle(stage).getPropertyValue("--map-accent").trim();
    map.set({ accent: rgb(/^#[0-9a-f]{6}$/i.test(accent) ? accent : "#0b6e63") });
  }

  // Colours and filters

  function colourBy(name) {
    colour = ["folder", "tag", "day", "none"].includes(name) ? name : "folder";
    if (colour === "tag" && data.tagGroups.length === 0) colour = "folder";
    groups = new Set();
    map.framed = colour === "folder" || colour === "tag" || colour === "day";
    map.paint((styles) => {
      if (colour === "folder") colourByGroup(styles, data.folders);
      else if (colour === "tag") colourByGroup(styles, data.tags);
      else if (colour === "day") colourByDay(styles, data.days);
      else for (let at = 0; at < data.count; at += 1) styles.set(rgb(OTHERS), 4 * at);
    });
    tools.colour(colour);
    legend.show(colour);
    refilter();
    router.update({ by: colour === "folder" ? null : colour }, { replace: true });
  }

  function refilter() {
    const numbers = colour === "tag" ? data.tags : data.folders;
    const byGroup = groups.size > 0;
    const known = (colour === "tag" ? data.tagGroups : data.folderGroups).length;
    for (let at = 0; at < data.count; at += 1) {
      const inGroup = !byGroup || groups.has(numbers[at] < known ? numbers[at] : 255);
      mask[at] = Number(inGroup && data.aspects[at] >= 0); // those removed from the library are not shown
    }
    timeline.filter(mask.slice());
    if (time) for (let at = 0; at < data.count; at += 1) if (data.days[at] === NO_DAY || data.days[at] < time.from || data.days[at] >= time.to) mask[at] = 0;
    map.filter(mask);
    settled();
  }

  // What is in view, under the pointer, chosen

  function settled() {
    listed = map.inView(LISTED);
    inView.show(listed.images);
    title.textContent = `${count(listed.total, "image")} in view`;
    note.textContent = listed.images.length < listed.total ? `${listed.images.length} of them listed; zoom in for more` : "";
    selectAll.disabled = listed.total === 0;
    if (!element.isConnected) return;
    const { x, y, scale } = map.camera;
    const at = map.fitted ? null : [x.toFixed(5), y.toFixed(5), (scale / map.whole().scale).toFixed(3)].join(",");
    router.update({ at, image: null }, { replace: true });
  }

  function all() {
    return map.inView(Infinity).images;
  }

  function hover(x, y) {
    const at = x === null ? -1 : map.hit(x, y);
    stage.classList.toggle("over", at >= 0);
    if (at === map.marked) return;
    map.mark(at);
    tip.hidden = true;
    clearTimeout(hovering);
    if (at >= 0) hovering = setTimeout(() => void showTip(at), WAIT);
  }

  async function showTip(at) {
    const record = inView.records.get(at) ?? await api.get(`/images/${idOf(data, at)}`).catch(() => null);
    if (map.marked !== at || !record) return;
    inView.records.set(at, record);
    const date = dateText(record.taken);
    fill(tip, h("img", { src: api.thumbnail(record.id, 256), alt: "" }), h("p", { class: "clip" }, nameOf(record.path)), date && h("p", { class: "soft tiny" }, date));
    const [x, y] = map.placeOf(at);
    tip.hidden = false;
    const { width, height } = map.size;
    const half = map.side / 2 + 12;
    tip.style.setProperty("left", `${x + half + 196 < width ? x + half : Math.max(8, x - half - 196)}px`);
    tip.style.setProperty("top", `${Math.max(8, Math.min(height - tip.offsetHeight - 8, y - tip.offsetHeight / 2))}px`);
  }

  function press(x, y, event) {
    const at = map.hit(x, y);
    if (at < 0) return map.chosenCount > 0 && !lassoing ? choose([]) : undefined;
    if (event.shiftKey || event.ctrlKey || event.metaKey || lassoing) return toggle(at);
    return open(at);
  }

  /** Open an image large; the others in the list are beside it. */
  function open(at) {
    const images = listed.images.includes(at) ? [...listed.images] : [at, ...listed.images];
    const ids = images.map((each) => idOf(data, each));
    map.mark(-1);
    tip.hidden = true;
    opened = viewer({
      ids, at: images.indexOf(at), known: (id) => inView.records.get(images[ids.indexOf(id)]),
      actions: (image) => [{ label: "More like this", icon: "similar", key: "s", run: () => router.go("search", similarParams(image.id)) }],
      closed: (last) => {
        opened = null;
        map.reveal(images[last]);
      },
    });
  }

  function similar(at) {
    router.go("search", similarParams(idOf(data, at)));
  }

  /** Show where an image is. */
  function show(id) {
    const at = Array.from({ length: data.count }, (_, each) => each).find((each) => idOf(data, each) === id);
    if (at === undefined) return;
    map.look({ x: data.points[2 * at], y: data.points[2 * at + 1], scale: 8 * map.whole().scale });
    map.mark(at);
  }

  function choose(some) {
    map.choose(some);
    chose();
  }

  function toggle(at) {
    map.toggle(at);
    chose();
  }

  function chose() {
    inView.choose();
    chosen.show(map.chosenCount);
  }

  function chosenIds() {
    return map.selection().map((at) => idOf(data, at));
  }

  // The lasso

  function setLasso(on) {
    lassoing = on;
    stage.classList.toggle("lassoing", on);
  }

  function draw(points) {
    line = points;
    outline.setAttribute("points", line.join(" "));
  }

  function finish(add) {
    const found = map.enclosed(line);
    draw([]);
    tools.lassoOff();
    if (found.length === 0) return;
    choose(add ? [...map.selection(), ...found] : found);
    context.announce(`${count(map.chosenCount, "image")} chosen`);
  }
}

/** At most so many of a list, spread over it. */
function spread(list, most) {
  if (list.length <= most) return list;
  return Array.from({ length: most }, (_, at) => list[Math.floor((at + 0.5) * list.length / most)]);
}
