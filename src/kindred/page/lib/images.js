/**
 * Facts about images, as people read them.
 *
 * @typedef {{id: string, path: string, width: number | null, height: number | null, taken: string | null, tags: string[],
 *   metadata: Record<string, unknown>, missing?: boolean, frames?: number, rank?: number, score?: number,
 *   probability?: number | null, box?: number[] | null}} Image
 */

import { h, isolated } from "./dom.js";

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MINUTE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const MONTH = new Intl.DateTimeFormat(undefined, { month: "long", year: "numeric" });
const WHOLE = new Intl.NumberFormat();

/** The last part of a path of any system. */
export function nameOf(path) {
  return path.split(/[/\\]/).at(-1) || path;
}

/** The folder of a path. */
export function folderOf(path) {
  return path.slice(0, Math.max(0, path.length - nameOf(path).length - 1)) || "/";
}

/**
 * A path to show: each part with its own direction, so that names in Hebrew or Arabic do not reorder the others, and
 * broken into lines between parts rather than within them.
 * @param {string} path
 * @returns {import("./dom.js").Child[]}
 */
export function pathText(path) {
  return path.split(/([/\\]+)/).map((part, at) => (at % 2 === 0 ? part && isolated(part) : [part, h("wbr")]));
}

/** The width over the height; 1 where the size is unknown. */
export function aspectOf({ width, height }) {
  return width && height ? width / height : 1;
}

const NEARLY_ALL = 0.85; // A box with this share of the image is not worth drawing.

/** Whether an answer's box is a part of the image that is worth pointing out. */
export function isPart({ box, width, height }) {
  if (!box || !width || !height) return false;
  const [x0, y0, x1, y1] = box;
  return (x1 - x0) * (y1 - y0) < NEARLY_ALL * width * height;
}

/**
 * A date of the catalogue (2024-05-01T12:30:00, without zone: the camera's own time), as the reader writes dates.
 * @param {string | null} taken
 * @param {{time?: boolean}} [options]
 */
export function dateText(taken, { time = false } = {}) {
  const date = dateOf(taken);
  return date ? (time ? MINUTE : DAY).format(date) : "";
}

/** "May 2024" of "2024-05". */
export function monthText(month) {
  const date = dateOf(`${month}-01`);
  return date ? MONTH.format(date) : "";
}

function dateOf(text) {
  const match = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?/.exec(text ?? "");
  if (!match) return null;
  const [year, month, day, hour, minute, second] = match.slice(1).map((part) => Number(part ?? 0));
  const date = new Date(year, month - 1, day, hour, minute, second);
  date.setFullYear(year); // years below 100 too
  return Number.isNaN(date.getTime()) ? null : date;
}

/** "1,234 images", "1 image". */
export function count(number, one, several = `${one}s`) {
  return `${WHOLE.format(number)} ${number === 1 ? one : several}`;
}

/** "4000 × 3000" */
export function sizeText({ width, height }) {
  return width && height ? `${WHOLE.format(width)} × ${WHOLE.format(height)}` : "";
}

/** A probability in words that claim no more than is known: "98 %", "below 1 %". */
export function percent(probability) {
  if (probability < 0.01) return "below 1 %";
  if (probability > 0.99) return "over 99 %";
  return `${Math.round(probability * 100)} %`;
}

/** The size of a thumbnail that is sharp at so many CSS pixels, from those that the server makes. */
export function thumbnailSize(pixels) {
  const wanted = pixels * Math.min(2, devicePixelRatio || 1);
  return [64, 128, 256, 512, 1600].find((size) => size >= wanted) ?? 1600;
}
