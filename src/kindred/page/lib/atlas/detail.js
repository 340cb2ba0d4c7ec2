/**
 * Which images of a map are shown as thumbnails, and how large: those up to the level at which none overlap.
 * The levels are made by the server (kindred.atlas.order).
 */

import { seen } from "./camera.js";
import { inBox } from "./pointgrid.js";

export const LAST_LEVEL = 39;
export const COARSEST = 1 / 4;
export const PER_OCTAVE = 3;
const GROWTH = 0.2;
const LARGEST = 220; // px
const NARROW = 0.12; // of the map; above, looking through the first images is quicker than through the grid

/** The distance on the map between images up to a level. */
export function distanceOf(level) {
  return COARSEST / 2 ** (level / PER_OCTAVE);
}

/**
 * The last level whose thumbnails do not overlap; -1 if there is none.
 * @param {number} scale px per side of the map @param {number} size px of a thumbnail
 */
export function levelAt(scale, size) {
  const level = Math.floor(PER_OCTAVE * Math.log2((COARSEST * scale) / size) + 1e-9);
  return Math.max(-1, Math.min(LAST_LEVEL, level));
}

/**
 * The side of a thumbnail: as wanted where the whole map is seen, and slowly larger as one comes nearer.
 * @param {number} scale @param {number} whole the scale at which the whole map is seen @param {number} wanted px
 */
export function sizeAt(scale, whole, wanted) {
  return Math.min(LARGEST, wanted * Math.max(1, scale / whole) ** GROWTH);
}

/** For each level the number of images, from the first on, among which are all of the levels up to it. */
export function prefixes(levels) {
  const ends = new Uint32Array(LAST_LEVEL + 1);
  for (let at = 0; at < levels.length; at += 1) ends[levels[at]] = at + 1;
  for (let level = 1; level <= LAST_LEVEL; level += 1) ends[level] = Math.max(ends[level], ends[level - 1]);
  return ends;
}

/**
 * Write the images that have a thumbnail in the window to `out`, the first levels first; return their number.
 * @param {{points: Float32Array, levels: Uint8Array, ends: Uint32Array, grid: import("./pointgrid.js").PointGrid, scratch: Uint32Array}} map
 * @param {import("./camera.js").Camera} camera @param {import("./camera.js").Size} window
 * @param {number} level @param {number} margin px beyond the window
 * @param {Uint32Array} out
 * @param {Uint8Array | null} [shown] 0 for images that are filtered out
 */
export function thumbnailsIn({ points, levels, ends, grid, scratch }, camera, window, level, margin, out, shown = null) {
  if (level < 0) return 0;
  const box = seen(camera, window, margin);
  let found = 0;
  if (box.x1 - box.x0 < NARROW && box.y1 - box.y0 < NARROW) {
    const within = inBox(grid, box, scratch);
    for (let place = 0; place < within && found < out.length; place += 1) {
      const at = scratch[place];
      if (levels[at] > level || (shown && !shown[at])) continue;
      out[found] = at;
      found += 1;
    }
    return found;
  }
  const { x0, y0, x1, y1 } = box;
  for (let at = 0, end = ends[level]; at < end && found < out.length; at += 1) {
    if (levels[at] > level || (shown && !shown[at])) continue;
    const x = points[2 * at];
    const y = points[2 * at + 1];
    if (x < x0 || x > x1 || y < y0 || y > y1) continue;
    out[found] = at;
    found += 1;
  }
  return found;
}

/** The width of a thumbnail in a square of `cell` px, as the server draws it; 0 is an unknown shape. */
export function widthIn(cell, aspect) {
  return Math.max(1, Math.round(cell * Math.min(1, bounded(aspect))));
}

/** The height of the same. */
export function heightIn(cell, aspect) {
  return Math.max(1, Math.round(cell / Math.max(1, bounded(aspect))));
}

function bounded(aspect) {
  return aspect > 0 ? Math.min(3, Math.max(1 / 3, aspect)) : 1;
}
