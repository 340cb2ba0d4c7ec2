/** A uniform grid over points, in typed arrays: which points are in a part of the map, and which is nearest. */

const PER_CELL = 4;
const MOST_CELLS = 1024; // along a side

/**
 * @typedef {{side: number, starts: Uint32Array, items: Uint32Array, points: Float32Array}} PointGrid
 *   the points of cell c are items[starts[c]] to items[starts[c + 1] - 1]
 */

/**
 * Sort points into the cells of a grid.
 * @param {Float32Array} points x and y of each, from 0 to 1
 * @returns {PointGrid}
 */
export function gridOf(points) {
  const count = points.length / 2;
  const side = Math.max(1, Math.min(MOST_CELLS, Math.ceil(Math.sqrt(count / PER_CELL))));
  const cells = new Uint32Array(count);
  const starts = new Uint32Array(side * side + 1);
  for (let at = 0; at < count; at += 1) {
    cells[at] = cellAt(points[2 * at + 1], side) * side + cellAt(points[2 * at], side);
    starts[cells[at] + 1] += 1;
  }
  for (let cell = 0; cell < side * side; cell += 1) starts[cell + 1] += starts[cell];
  const next = starts.slice(0, -1);
  const items = new Uint32Array(count);
  for (let at = 0; at < count; at += 1) {
    items[next[cells[at]]] = at;
    next[cells[at]] += 1;
  }
  return { side, starts, items, points };
}

/**
 * Write the points within a box to `out` and return their number, at most the length of `out`.
 * @param {PointGrid} grid @param {import("./camera.js").Box} box @param {Uint32Array} out
 */
export function inBox({ side, starts, items, points }, { x0, y0, x1, y1 }, out) {
  const [left, right, top, bottom] = [cellAt(x0, side), cellAt(x1, side), cellAt(y0, side), cellAt(y1, side)];
  let found = 0;
  for (let row = top; row <= bottom; row += 1) {
    const end = starts[row * side + right + 1];
    for (let place = starts[row * side + left]; place < end; place += 1) {
      const at = items[place];
      const x = points[2 * at];
      const y = points[2 * at + 1];
      if (x < x0 || x > x1 || y < y0 || y > y1) continue;
      if (found === out.length) return found;
      out[found] = at;
      found += 1;
    }
  }
  return found;
}

/**
 * The point nearest to (x, y) within `radius`, or -1.
 * @param {PointGrid} grid @param {number} x @param {number} y @param {number} radius
 * @param {(at: number) => boolean} [accepted] which points count
 */
export function nearest({ side, starts, items, points }, x, y, radius, accepted = () => true) {
  let best = -1;
  let least = radius * radius;
  const [left, right] = [cellAt(x - radius, side), cellAt(x + radius, side)];
  for (let row = cellAt(y - radius, side); row <= cellAt(y + radius, side); row += 1) {
    for (let place = starts[row * side + left]; place < starts[row * side + right + 1]; place += 1) {
      const at = items[place];
      const apart = (points[2 * at] - x) ** 2 + (points[2 * at + 1] - y) ** 2;
      if (apart <= least && accepted(at)) [best, least] = [at, apart];
    }
  }
  return best;
}

function cellAt(value, side) {
  return Math.max(0, Math.min(side - 1, Math.floor(value * side)));
}
