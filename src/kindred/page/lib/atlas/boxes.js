/**
 * The thumbnails of a frame, as both renderers read them: one array that is filled anew for each frame.
 *
 * @typedef {{bytes: Uint8Array, floats: Float32Array, frames: Uint8Array, count: number, radius: number}} Boxes
 *   of each box BOX_FLOATS values: x and y of its middle on the map, width and height in px, left, top, width and height
 *   of its part of a strip in px, the slot of the strip, and four bytes for the frame: red, green, blue, kind
 */

export const MOST_BOXES = 4096;
export const BOX_FLOATS = 10;

/** Kinds of frames. */
export const NO_FRAME = 0;
export const GROUP_FRAME = 128;
export const CHOSEN_FRAME = 255;

/** @returns {Boxes} */
export function newBoxes() {
  const floats = new Float32Array(MOST_BOXES * BOX_FLOATS);
  const bytes = new Uint8Array(floats.buffer);
  return { bytes, floats, frames: bytes, count: 0, radius: 0 };
}

/**
 * Add a box; nothing happens where there are too many.
 * @param {Boxes} boxes
 */
export function addBox(boxes, x, y, width, height, left, top, partWidth, partHeight, slot, red, green, blue, kind) {
  if (boxes.count === MOST_BOXES) return;
  const at = boxes.count * BOX_FLOATS;
  const { floats, frames } = boxes;
  floats[at] = x;
  floats[at + 1] = y;
  floats[at + 2] = width;
  floats[at + 3] = height;
  floats[at + 4] = left;
  floats[at + 5] = top;
  floats[at + 6] = partWidth;
  floats[at + 7] = partHeight;
  floats[at + 8] = slot;
  const byte = 4 * (at + 9);
  frames[byte] = red;
  frames[byte + 1] = green;
  frames[byte + 2] = blue;
  frames[byte + 3] = kind;
  boxes.count += 1;
}
