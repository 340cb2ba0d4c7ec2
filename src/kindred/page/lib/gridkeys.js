/** Which image a key leads to in a justified grid. */

import { placesOf, rowAt, rowOf } from "./justified.js";

/**
 * @param {string} key
 * @param {number} index the image that has the focus
 * @param {{layout: import("./justified.js").Rows, aspects: ArrayLike<number>, count: number, view: number}} grid
 *   view: height of the window in px
 * @returns {number | null} null if the key does not move
 */
export function moveBy(key, index, { layout, aspects, count, view }) {
  if (count === 0) return null;
  const row = rowOf(layout, index);
  const middle = () => centre(layout, aspects, row, index);
  switch (key) {
    case "ArrowLeft": return Math.max(0, index - 1);
    case "ArrowRight": return Math.min(count - 1, index + 1);
    case "ArrowUp": return row > 0 ? nearest(layout, aspects, row - 1, middle()) : index;
    case "ArrowDown": return row < layout.rows - 1 ? nearest(layout, aspects, row + 1, middle()) : index;
    case "Home": return 0;
    case "End": return count - 1;
    case "PageUp": return nearest(layout, aspects, paged(layout, row, -view), middle());
    case "PageDown": return nearest(layout, aspects, paged(layout, row, view), middle());
    default: return null;
  }
}

/** The row about a window further, at least one row away. */
function paged(layout, row, distance) {
  const wanted = rowAt(layout, layout.tops[row] + distance * 0.85);
  const moved = distance < 0 ? Math.min(wanted, row - 1) : Math.max(wanted, row + 1);
  return Math.max(0, Math.min(layout.rows - 1, moved));
}

function centre(layout, aspects, row, index) {
  const place = placesOf(layout, aspects, row).find((each) => each.index === index);
  return place ? place.left + place.width / 2 : 0;
}

function nearest(layout, aspects, row, x) {
  let best = layout.starts[row];
  let least = Infinity;
  for (const { index, left, width } of placesOf(layout, aspects, row)) {
    const distance = Math.abs(left + width / 2 - x);
    if (distance < least) [best, least] = [index, distance];
  }
  return best;
}
