/** Points within a line drawn around them. */

import { boxOf } from "./data.js";
import { inBox } from "./pointgrid.js";

/**
 * Whether a point is inside a polygon, by the number of its edges to the right (even-odd rule).
 * @param {number[]} polygon x and y of each corner
 */
export function inside(polygon, x, y) {
  let within = false;
  for (let at = 0, before = polygon.length - 2; at < polygon.length; before = at, at += 2) {
    const [x0, y0, x1, y1] = [polygon[before], polygon[before + 1], polygon[at], polygon[at + 1]];
    if (y0 > y !== y1 > y && x < x0 + ((x1 - x0) * (y - y0)) / (y1 - y0)) within = !within;
  }
  return within;
}

/**
 * The points inside a polygon, in ascending order.
 * @param {import("./pointgrid.js").PointGrid} grid
 * @param {number[]} polygon x and y of each corner, on the map
 * @param {(at: number) => boolean} [accepted] which points count
 * @returns {number[]}
 */
export function enclosed(grid, polygon, accepted = () => true) {
  if (polygon.length < 6) return [];
  const out = new Uint32Array(grid.items.length);
  const found = [];
  for (let place = 0, count = inBox(grid, boxOf(polygon), out); place < count; place += 1) {
    const at = out[place];
    if (accepted(at) && inside(polygon, grid.points[2 * at], grid.points[2 * at + 1])) found.push(at);
  }
  return found.sort((a, b) => a - b);
}

/**
 * A line with fewer corners: those are left out that are nearer than `least` px to the one before.
 * @param {number[]} line @param {number} x @param {number} y @param {number} [least]
 */
export function extend(line, x, y, least = 3) {
  const end = line.length;
  if (end >= 2 && Math.hypot(line[end - 2] - x, line[end - 1] - y) < least) return line;
  line.push(x, y);
  return line;
}
