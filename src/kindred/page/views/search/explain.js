/**
 * "Why this?": where two images agree, as lines between matched keypoints or as maps of similarity.
 *
 * @typedef {{kind: "keypoints", query_size: number[], image_size: number[], matches: number[][], inliers: number}} Keypoints
 *   matches: x and y in the query, x and y in the image, in pixels of the upright images
 * @typedef {{kind: "maps", rows: number, columns: number, query: number[][], image: number[][]}} Maps
 */

import { fill, h, put, svg } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count, nameOf, percent } from "../../lib/images.js";
import { openDialog } from "../../lib/dialog.js";
import { drawHeat } from "./heat.js";

const MOST_LINES = 150;
const HUES = [168, 38, 205, 330, 90, 265];

/**
 * Open the explanation of an answer.
 * @param {import("../../app.js").Context} context
 * @param {{query: import("./state.js").QueryImage[], id: string, known: () => import("../../lib/images.js").Image | undefined}} what
 *   known: the answer, once the search has found it
 */
export function openExplanation({ api }, { query, id, known }) {
  const wanted = query.filter((each) => each.wanted);
  const abort = new AbortController();
  const text = h("p", { class: "why-text", role: "status" });
  const choice = h("div", { class: "chips", role: "group", "aria-label": "Compared with" });
  const left = figure("The image searched for");
  const right = figure("The answer");
  const lines = svg("svg", { class: "why-lines", "aria-hidden": "true" });
  const pair = h("div", { class: "why-pair" }, left.element, right.element, lines);
  const dialog = openDialog({ title: "Why this?", full: true, content: h("div", { class: "why" }, text, wanted.length > 1 && choice, pair) });
  /** @type {Keypoints | Maps | null} */
  let found = null;
  const watcher = new ResizeObserver(() => draw());
  watcher.observe(pair);
  void dialog.closed.then(() => {
    abort.abort();
    watcher.disconnect();
  });
  void ask(0);
  return { ...dialog, refresh: () => found && fill(text, words(found)) };

  async function ask(at) {
    const one = wanted[at];
    found = null;
    fill(choice, wanted.map((_, place) => h("button", { class: "chip", type: "button", "aria-pressed": String(place === at), on: { click: () => void ask(place) } }, `Image ${place + 1}`)));
    left.show(one.kind === "upload" ? api.uploadThumbnail(one.id, 1600) : api.thumbnail(one.id, 1600), draw);
    right.show(api.thumbnail(id, 1600), draw);
    fill(lines);
    fill(text, "Comparing the two images …");
    try {
      const asked = { [one.kind]: one.id, ...(one.box && { box: one.box }) };
      found = await api.post("/explain", { query: asked, image: id }, { signal: abort.signal });
      fill(text, words(found));
      draw();
    } catch (error) {
      if (!api.aborted(error)) fill(text, icon("warning"), error.message, " ", error.hint);
    }
  }

  function words(answer) {
    const image = known();
    if (image) right.name(nameOf(image.path));
    const sure = typeof image?.probability === "number" ? `Same thing: ${percent(image.probability)}. ` : "";
    if (answer.kind === "maps") return `${sure}Bright is where the two images are most alike.`;
    const number = answer.matches.length;
    if (number === 0) return `${sure}No points of the two images agree; they are alike as a whole.`;
    const some = number > MOST_LINES ? `, ${MOST_LINES} of them drawn` : "";
    return `${sure}${count(number, "point")} ${number === 1 ? "agrees" : "agree"} in place${some}.`;
  }

  function draw() {
    if (!found) return;
    if (found.kind === "maps") {
      left.heat(found.query);
      right.heat(found.image);
      return;
    }
    const frame = pair.getBoundingClientRect();
    lines.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
    const [from, to] = [left.scale(frame, found.query_size), right.scale(frame, found.image_size)];
    if (!from || !to) return;
    // Evenly chosen, since the list is ordered.
    const step = Math.max(1, found.matches.length / MOST_LINES);
    const drawn = Array.from({ length: Math.min(MOST_LINES, found.matches.length) }, (_, at) => found.matches[Math.floor(at * step)]);
    fill(lines, drawn.map(([x0, y0, x1, y1], at) => {
      const [a, b] = [from(x0, y0), to(x1, y1)];
      const colour = { "--hue": HUES[at % HUES.length] };
      return svg("g", { style: colour }, svg("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }),
        svg("circle", { cx: a[0], cy: a[1], r: 3.5 }), svg("circle", { cx: b[0], cy: b[1], r: 3.5 }));
    }));
  }
}

/** An image with its caption, and what is drawn over it. */
function figure(caption) {
  const picture = h("img", { alt: caption });
  const canvas = h("canvas", { class: "why-heat", hidden: true, "aria-hidden": "true" });
  const words = h("figcaption", { class: "small soft clip" }, caption);
  const frame = h("div", { class: "why-image" }, picture, canvas);
  const element = h("figure", { class: "why-figure" }, frame, words);
  return {
    element,
    name(text) {
      fill(words, text);
      put(picture, { alt: text });
    },
    show(src, loaded) {
      canvas.hidden = true;
      picture.addEventListener("load", () => {
        frame.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
        loaded();
      }, { once: true });
      picture.src = src;
    },
    heat(values) {
      canvas.hidden = false;
      drawHeat(canvas, values);
    },
    /** From pixels of the upright image to pixels from an origin; null while the image is loading. */
    scale(origin, [width, height]) {
      const box = picture.getBoundingClientRect();
      if (box.width === 0 || !picture.naturalWidth) return null;
      return (x, y) => [box.left - origin.left + (x / width) * box.width, box.top - origin.top + (y / height) * box.height];
    },
  };
}
