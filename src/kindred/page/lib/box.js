/**
 * Boxes in an image, moved and resized within it. Pure functions.
 *
 * @typedef {[number, number, number, number]} Box x0, y0, x1, y1 in pixels of the upright image
 * @typedef {{width: number, height: number}} Size
 */

/** The handles: which edges each one moves (−1: left or top, 1: right or bottom, 0: none). */
export const HANDLES = {
  nw: [-1, -1], n: [0, -1], ne: [1, -1], e: [1, 0], se: [1, 1], s: [0, 1], sw: [-1, 1], w: [-1, 0],
};

/** The smallest side of a box: a twentieth of the image's longer side, at least 8 pixels where it has them. */
export function smallest({ width, height }) {
  return Math.min(Math.max(8, Math.max(width, height) / 20), width, height);
}

/**
 * The box moved as far as the image reaches.
 * @param {Box} box @param {number} dx @param {number} dy @param {Size} size
 * @returns {Box}
 */
export function movedBox([x0, y0, x1, y1], dx, dy, { width, height }) {
  const x = Math.max(-x0, Math.min(width - x1, dx));
  const y = Math.max(-y0, Math.min(height - y1, dy));
  return [x0 + x, y0 + y, x1 + x, y1 + y];
}

/**
 * The box with the edges of a handle moved; it keeps a smallest size and stays within the image.
 * @param {Box} box @param {keyof typeof HANDLES} handle @param {number} dx @param {number} dy @param {Size} size
 * @returns {Box}
 */
export function resizedBox([x0, y0, x1, y1], handle, dx, dy, size) {
  const [sx, sy] = HANDLES[handle];
  const least = smallest(size);
  const edge = (value, low, high) => Math.max(low, Math.min(high, value));
  return [
    sx < 0 ? edge(x0 + dx, 0, x1 - least) : x0,
    sy < 0 ? edge(y0 + dy, 0, y1 - least) : y0,
    sx > 0 ? edge(x1 + dx, x0 + least, size.width) : x1,
    sy > 0 ? edge(y1 + dy, y0 + least, size.height) : y1,
  ];
}

/**
 * The box made larger or smaller about its centre.
 * @param {Box} box @param {number} factor @param {Size} size
 * @returns {Box}
 */
export function scaledBox([x0, y0, x1, y1], factor, size) {
  const least = smallest(size);
  const side = (length, room) => Math.max(least, Math.min(room, length * factor));
  const [w, h] = [side(x1 - x0, size.width), side(y1 - y0, size.height)];
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  const at = (centre, length, room) => Math.max(0, Math.min(room - length, centre - length / 2));
  const [left, top] = [at(x, w, size.width), at(y, h, size.height)];
  return [left, top, left + w, top + h];
}

/** The box between two corners, whichever they are, at least the smallest size. */
export function boxBetween([ax, ay], [bx, by], size) {
  const least = smallest(size);
  const span = (a, b, room) => {
    const low = Math.max(0, Math.min(room - least, Math.min(a, b)));
    return [low, Math.min(room, Math.max(low + least, Math.max(a, b)))];
  };
  const [x0, x1] = span(ax, bx, size.width);
  const [y0, y1] = span(ay, by, size.height);
  return [x0, y0, x1, y1];
}

/** Whether a box is the whole image, to a pixel. */
export function isWhole([x0, y0, x1, y1], { width, height }) {
  return x0 < 1 && y0 < 1 && x1 > width - 1 && y1 > height - 1;
}

/** The box in whole pixels. */
export function rounded(box) {
  return box.map(Math.round);
}
