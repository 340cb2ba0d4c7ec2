/**
 * The camera over a map whose sides go from 0 to 1: pure functions.
 *
 * @typedef {{x: number, y: number, scale: number}} Camera x, y: the point of the map in the middle; scale: px per side of the map
 * @typedef {{left: number, top: number, right: number, bottom: number}} Pad px at the edges that tools lie over
 * @typedef {{width: number, height: number, most?: number, pad?: Pad}} Size in CSS px; most: the largest scale
 * @typedef {{x0: number, y0: number, x1: number, y1: number}} Box
 */

const MARGIN = 28; // px around the whole map
const PLAIN = { left: MARGIN, top: MARGIN, right: MARGIN, bottom: MARGIN };
export const MOST = 600_000; // px per side: positions are of single precision
const LEAST = 0.7; // of the whole map in the window

/**
 * The camera that shows a box of the map, by default all of it.
 * @param {Size} size
 * @param {Box} [box]
 * @returns {Camera}
 */
export function framing({ width, height, pad = PLAIN }, box = { x0: 0, y0: 0, x1: 1, y1: 1 }) {
  const across = Math.max(box.x1 - box.x0, 1e-6);
  const down = Math.max(box.y1 - box.y0, 1e-6);
  const room = (side, before, after) => Math.max(40, side - before - after);
  const scale = Math.min(room(width, pad.left, pad.right) / across, room(height, pad.top, pad.bottom) / down, MOST);
  const [dx, dy] = [(pad.right - pad.left) / 2 / scale, (pad.bottom - pad.top) / 2 / scale];
  return { x: (box.x0 + box.x1) / 2 + dx, y: (box.y0 + box.y1) / 2 + dy, scale };
}

/**
 * The camera kept over the map and between the scales at which it is of use.
 * @param {Camera} camera @param {Size} size @returns {Camera}
 */
export function bounded({ x, y, scale }, size) {
  const least = framing(size).scale * LEAST;
  const most = Math.max(least, Math.min(MOST, size.most ?? MOST));
  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
  return { x: clamp(x, 0, 1), y: clamp(y, 0, 1), scale: clamp(scale, least, most) };
}

/**
 * The camera zoomed by a factor about a point of the window that stays where it is.
 * @param {Camera} camera @param {Size} size @param {number} factor
 * @param {number} [px] @param {number} [py] px from the top left; the middle if left out
 * @returns {Camera}
 */
export function zoomed(camera, size, factor, px = size.width / 2, py = size.height / 2) {
  const scale = bounded({ ...camera, scale: camera.scale * factor }, size).scale;
  const [dx, dy] = [px - size.width / 2, py - size.height / 2];
  const shift = 1 / camera.scale - 1 / scale;
  return bounded({ x: camera.x + dx * shift, y: camera.y + dy * shift, scale }, size);
}

/** The camera moved by so many px. @param {Camera} camera @param {Size} size @returns {Camera} */
export function panned(camera, size, dx, dy) {
  return bounded({ x: camera.x + dx / camera.scale, y: camera.y + dy / camera.scale, scale: camera.scale }, size);
}

/** The point of the map at a point of the window. @returns {[number, number]} */
export function toMap({ x, y, scale }, { width, height }, px, py) {
  return [x + (px - width / 2) / scale, y + (py - height / 2) / scale];
}

/** The point of the window where a point of the map is. @returns {[number, number]} */
export function toWindow({ x, y, scale }, { width, height }, mx, my) {
  return [width / 2 + (mx - x) * scale, height / 2 + (my - y) * scale];
}

/** The part of the map in the window, with a margin in px around it. @returns {Box} */
export function seen({ x, y, scale }, { width, height }, margin = 0) {
  const [across, down] = [(width / 2 + margin) / scale, (height / 2 + margin) / scale];
  return { x0: x - across, y0: y - down, x1: x + across, y1: y + down };
}

/**
 * A camera between two, from 0 to 1: even in the scale as people see it, and straight in the window.
 * @param {Camera} from @param {Camera} to @param {number} t @returns {Camera}
 */
export function between(from, to, t) {
  const eased = t < 0.5 ? 4 * t ** 3 : 1 - (-2 * t + 2) ** 3 / 2;
  const scale = from.scale * (to.scale / from.scale) ** eased;
  const ratio = to.scale / from.scale;
  // While the scale changes, the middle moves so that the target approaches steadily.
  const part = Math.abs(ratio - 1) < 1e-3 ? eased : (1 / scale - 1 / from.scale) / (1 / to.scale - 1 / from.scale);
  return { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part, scale };
}
