/** What lies over an image in the grids of the search view. */

import { h, svg } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { aspectOf, dateText, isPart, nameOf, percent } from "../../lib/images.js";
import { shownAspect } from "../../lib/justified.js";

/**
 * @typedef {import("../../lib/images.js").Image} Image
 * @param {Image} image
 * @param {{
 *   similar: (image: Image) => void, why?: (image: Image) => void, mark?: (image: Image, kind: "right" | "wrong") => void,
 *   marked?: "right" | "wrong" | "", scores?: boolean, change?: number | null,
 * }} options change: places moved up by re-ranking; undefined: not shown
 */
export function overlay(image, options) {
  const { similar, why, mark, marked = "", scores = false, change } = options;
  const name = nameOf(image.path);
  const tool = (action, label, sign, run, pressed) => h("button", {
    class: ["tile-tool", pressed && "tile-tool-on"], type: "button", "aria-label": `${label}: ${name}`, title: label,
    "aria-pressed": pressed === undefined ? null : String(pressed), data: { action }, on: { click: () => run(image) },
  }, icon(sign));
  return [
    outline(image),
    h("div", { class: "tile-top" }, change !== undefined && changeBadge(change), image.missing && h("span", { class: "badge badge-bad" }, "file missing"),
      marked && h("span", { class: ["badge", marked === "right" ? "badge-good" : "badge-bad"] }, icon(marked === "right" ? "check" : "close"), marked)),
    h("div", { class: "tile-foot" },
      h("span", { class: "tile-facts" }, image.taken && h("span", null, dateText(image.taken)), scores && scoreText(image)),
      h("span", { class: "tile-tools" },
        mark && tool("right", "Right: shows the same thing", "thumbup", () => mark(image, "right"), marked === "right"),
        mark && tool("wrong", "Wrong: shows something else", "thumbdown", () => mark(image, "wrong"), marked === "wrong"),
        why && tool("why", "Why this?", "lines", why),
        tool("similar", "More like this", "similar", similar))),
  ];
}

function scoreText({ score, probability }) {
  const words = [typeof probability === "number" && percent(probability), typeof score === "number" && score.toFixed(3)];
  return h("span", { class: "tile-score numbers" }, words.filter(Boolean).join(" · "));
}

function changeBadge(change) {
  if (change === null) return h("span", { class: "badge badge-up" }, "new");
  if (change === 0) return null;
  const up = change > 0;
  const places = Math.abs(change);
  return h("span", { class: ["badge", up ? "badge-up" : "badge-down"] }, icon(up ? "up" : "down"), places,
    h("span", { class: "visually-hidden" }, `${places === 1 ? "place" : "places"} ${up ? "up" : "down"}`));
}

/**
 * The box of the part that matched, where the tile shows it: images of extreme shapes are shown cut. Boxes of nearly
 * the whole image say nothing and are left out.
 */
function outline(image) {
  const { box, width, height } = image;
  if (!isPart(image)) return null;
  const aspect = aspectOf(image);
  const shown = shownAspect(aspect);
  const [w, h0] = aspect > shown ? [height * shown, height] : [width, width / shown];
  const view = `${(width - w) / 2} ${(height - h0) / 2} ${w} ${h0}`;
  const place = { x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1] };
  return svg("svg", { class: "outline tile-outline", viewBox: view, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { ...place, class: "outline-under" }), svg("rect", { ...place, class: "outline-over" }));
}

/** The accessible name of an answer. */
export function answerName(image, { scores = false, marked = "", change } = {}) {
  return [
    nameOf(image.path),
    image.taken && dateText(image.taken),
    scores && typeof image.probability === "number" && percent(image.probability),
    marked && `marked ${marked}`,
    change === null && "new",
    change > 0 && `${change} up`,
    change < 0 && `${-change} down`,
  ].filter(Boolean).join(", ");
}
