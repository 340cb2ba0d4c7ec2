/** Draws a map without WebGL: points are written into the pixels of a picture, thumbnails are drawn over it. */

import { BOX_FLOATS, CHOSEN_FRAME, NO_FRAME } from "./boxes.js";
import { SLOTS } from "./strips.js";

const STEPS = 4; // discs of a size are made for so many places within a pixel, in x and in y

export class CanvasRenderer {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.kind = "canvas2d";
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: true });
    this.strips = new Array(SLOTS).fill(null);
    this.points = new Float32Array(0);
    this.styles = new Uint8Array(0);
    this.discs = null;
  }

  resize(width, height, ratio) {
    this.ratio = ratio;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.picture = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.pixels = new Uint32Array(this.picture.data.buffer);
  }

  setPoints(points) {
    this.points = points;
  }

  setStyles(styles) {
    this.styles = styles;
  }

  put(slot, strip) {
    this.strips[slot]?.close();
    this.strips[slot] = strip;
  }

  draw(camera, size, { pointSize, boxes }) {
    this.#drawPoints(camera, size, pointSize);
    const { context } = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.imageSmoothingQuality = "medium";
    for (let box = 0; box < boxes.count; box += 1) this.#drawBox(camera, size, boxes, box * BOX_FLOATS);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  close() {
    for (const strip of this.strips) strip?.close();
    this.strips.fill(null);
  }

  #drawBox(camera, size, { floats, frames, radius }, at) {
    const strip = this.strips[floats[at + 8]];
    if (!strip) return;
    const { context } = this;
    const [width, height] = [floats[at + 2], floats[at + 3]];
    const left = size.width / 2 + (floats[at] - camera.x) * camera.scale - width / 2;
    const top = size.height / 2 + (floats[at + 1] - camera.y) * camera.scale - height / 2;
    const byte = 4 * (at + 9);
    const kind = frames[byte + 3];
    if (kind !== NO_FRAME) {
      const by = kind === CHOSEN_FRAME ? 3.5 : 1.5;
      context.fillStyle = `rgb(${frames[byte]} ${frames[byte + 1]} ${frames[byte + 2]})`;
      context.beginPath();
      context.roundRect(left - by, top - by, width + 2 * by, height + 2 * by, radius + by);
      context.fill();
    }
    context.drawImage(strip, floats[at + 4], floats[at + 5], floats[at + 6], floats[at + 7], left, top, width, height);
  }

  #drawPoints(camera, size, pointSize) {
    const { picture, pixels, points, styles, ratio } = this;
    const { width, height } = picture;
    pixels.fill(0);
    const normal = this.#disc(pointSize * ratio);
    const chosen = this.#disc(pointSize * ratio * 1.7);
    const scale = camera.scale * ratio;
    const left = width / 2 - camera.x * scale;
    const top = height / 2 - camera.y * scale;
    const edge = chosen.side;
    for (let at = 0; at < styles.length / 4; at += 1) {
      const alpha = styles[4 * at + 3];
      const x = left + points[2 * at] * scale;
      const y = top + points[2 * at + 1] * scale;
      if (alpha < 5 || x < -edge || y < -edge || x >= width + edge || y >= height + edge) continue;
      stamp(pixels, width, height, alpha > 242 ? chosen : normal, x, y, styles, 4 * at);
    }
    this.context.putImageData(picture, 0, 0);
  }

  /** Masks of a disc of so many px, one for each place of its middle within a pixel. */
  #disc(size) {
    const key = Math.round(size * 8) / 8;
    this.discs ??= new Map();
    if (!this.discs.has(key)) {
      if (this.discs.size > 40) this.discs.clear();
      this.discs.set(key, discOf(key));
    }
    return this.discs.get(key);
  }
}

/** For each place of the middle: the pixels that a disc covers, as column, row and share of 255, one after the other. */
function discOf(size) {
  const radius = size / 2;
  const side = Math.ceil(size) + 2;
  const masks = [];
  for (let place = 0; place < STEPS * STEPS; place += 1) {
    const [cx, cy] = [side / 2 + (place % STEPS) / STEPS, side / 2 + Math.floor(place / STEPS) / STEPS];
    const mask = [];
    for (let at = 0; at < side * side; at += 1) {
      const [column, row] = [at % side, Math.floor(at / side)];
      const covered = Math.round(255 * Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(column + 0.5 - cx, row + 0.5 - cy))));
      if (covered > 0) mask.push(column, row, covered);
    }
    masks.push(Uint8Array.from(mask));
  }
  return { side, masks };
}

/** Draw a disc over what is there; a pixel is red, green, blue and alpha from the lowest byte on. */
function stamp(pixels, width, height, { side, masks }, x, y, styles, style) {
  const left = Math.floor(x - side / 2);
  const top = Math.floor(y - side / 2);
  const mask = masks[Math.floor((x - side / 2 - left) * STEPS) + STEPS * Math.floor((y - side / 2 - top) * STEPS)];
  const [red, green, blue, strength] = [styles[style], styles[style + 1], styles[style + 2], styles[style + 3]];
  const inside = left >= 0 && top >= 0 && left + side <= width && top + side <= height;
  for (let at = 0; at < mask.length; at += 3) {
    const column = left + mask[at];
    const row = top + mask[at + 1];
    if (!inside && (column < 0 || row < 0 || column >= width || row >= height)) continue;
    const pixel = row * width + column;
    const below = pixels[pixel];
    const covered = (mask[at + 2] * strength + 127) / 255 | 0;
    if (below === 0) {
      pixels[pixel] = (covered << 24 | blue << 16 | green << 8 | red) >>> 0;
      continue;
    }
    const kept = ((below >>> 24) * (255 - covered)) / 255;
    const alpha = covered + kept;
    const mix = (over, shift) => ((over * covered + ((below >>> shift) & 255) * kept) / alpha + 0.5) | 0;
    pixels[pixel] = ((alpha + 0.5 | 0) << 24 | mix(blue, 16) << 16 | mix(green, 8) << 8 | mix(red, 0)) >>> 0;
  }
}
