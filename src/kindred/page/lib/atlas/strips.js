/**
 * Strips: parts of the sheets of thumbnails, 2048 × 256 px, held in a bounded number of slots of a texture. Those that
 * were not needed for the longest time make room for others.
 */

export const WIDTH = 2048;
export const HEIGHT = 256;
export const SLOTS = 32; // 2048 × 256 px of 4 bytes each: 64 MB
const AT_ONCE = 2; // sheets that are fetched at a time
const WHOLE = 2; // decoded sheets that are held for further strips
const AGAIN = 4000; // ms after which a sheet that failed is asked for again

/** The strip of image `at` in sheets with cells of `cell` px. */
export function stripOf(at, cell) {
  return Math.floor(at / ((WIDTH / cell) * (HEIGHT / cell)));
}

/** The left edge of image `at` within its strip, in px. */
export function leftOf(at, cell) {
  return (at % (WIDTH / cell)) * cell;
}

/** The top edge of the same. */
export function topOf(at, cell) {
  return (Math.floor(at / (WIDTH / cell)) % (HEIGHT / cell)) * cell;
}

export class Strips {
  /**
   * @param {{
   *   load: (sheet: number, cell: number, signal: AbortSignal) => Promise<ImageBitmap>,
   *   put: (slot: number, strip: ImageBitmap) => void,
   *   changed: () => void,
   *   slots?: number,
   * }} options load: a whole sheet; put: takes a strip; changed: called when there are more strips to draw
   */
  constructor({ load, put, changed, slots = SLOTS }) {
    Object.assign(this, { load, put, changed });
    this.held = new Map(); // key of a strip → its slot, the one used longest ago first
    this.free = Array.from({ length: slots }, (_, slot) => slots - 1 - slot);
    this.used = new Uint32Array(slots); // the frame in which a slot was last drawn
    this.keys = new Array(slots).fill(null);
    this.frame = 0;
    this.wanted = new Map(); // key of a sheet → {cell, sheet, strips, count}, missing in this frame
    this.loading = new Map();
    this.sheets = new Map(); // key of a sheet → ImageBitmap
    this.failed = new Map(); // key of a sheet → when it may be asked for again
    this.stop = new AbortController();
  }

  /** Begin a frame: what is asked for from now on is what has to be there. */
  begin() {
    this.frame += 1;
    this.wanted.clear();
  }

  /** The slot of the strip of an image, or -1 if it is not there yet. */
  slot(at, cell) {
    const strip = stripOf(at, cell);
    const key = cell * 0x1000000 + strip;
    const slot = this.held.get(key);
    if (slot !== undefined) {
      this.used[slot] = this.frame;
      return slot;
    }
    this.#want(strip, cell);
    return -1;
  }

  /** End a frame: fetch what was missing, most needed first. */
  end() {
    if (this.wanted.size === 0 || this.stop.signal.aborted) return;
    const now = performance.now();
    const missing = [...this.wanted.values()].filter(({ key }) => !this.loading.has(key) && !(this.failed.get(key) > now));
    missing.sort((a, b) => b.count - a.count);
    for (const each of missing) {
      if (this.loading.size >= AT_ONCE && !this.sheets.has(each.key)) continue;
      this.loading.set(each.key, each);
      void this.#fetch(each);
    }
  }

  close() {
    this.stop.abort();
    for (const sheet of this.sheets.values()) sheet.close();
    this.sheets.clear();
  }

  #want(strip, cell) {
    const perSheet = WIDTH / HEIGHT;
    const sheet = Math.floor(strip / perSheet);
    const key = cell * 0x1000000 + sheet;
    const entry = this.wanted.get(key);
    if (entry) {
      entry.count += 1;
      entry.strips.add(strip);
    } else {
      this.wanted.set(key, { key, cell, sheet, strips: new Set([strip]), count: 1 });
    }
  }

  async #fetch({ key, cell, sheet, strips }) {
    try {
      const whole = this.sheets.get(key) ?? await this.load(sheet, cell, this.stop.signal);
      if (this.stop.signal.aborted) return whole.close();
      this.#hold(key, whole);
      const now = this.wanted.get(key)?.strips ?? strips;
      for (const strip of now) await this.#cut(whole, strip, cell);
      this.failed.delete(key);
    } catch (error) {
      if (this.stop.signal.aborted) return;
      this.failed.set(key, performance.now() + AGAIN);
      setTimeout(() => this.changed(), AGAIN + 50);
    } finally {
      this.loading.delete(key);
    }
    this.changed();
  }

  #hold(key, whole) {
    this.sheets.delete(key);
    this.sheets.set(key, whole);
    for (const old of this.sheets.keys()) {
      if (this.sheets.size <= WHOLE || this.loading.has(old)) continue;
      this.sheets.get(old).close();
      this.sheets.delete(old);
    }
  }

  async #cut(whole, strip, cell) {
    const key = cell * 0x1000000 + strip;
    const top = (strip % (WIDTH / HEIGHT)) * HEIGHT;
    if (this.held.has(key) || top >= whole.height) return;
    const bitmap = await createImageBitmap(whole, 0, top, whole.width, Math.min(HEIGHT, whole.height - top));
    const slot = this.stop.signal.aborted ? -1 : this.#room();
    if (slot < 0) return bitmap.close(); // everything is in use in this frame
    this.put(slot, bitmap);
    this.held.set(key, slot);
    this.keys[slot] = key;
    this.used[slot] = this.frame;
  }

  /** A free slot, or the one that was not drawn for the longest time; -1 if all were drawn just now. */
  #room() {
    if (this.free.length > 0) return this.free.pop();
    let oldest = 0;
    for (let slot = 1; slot < this.used.length; slot += 1) if (this.used[slot] < this.used[oldest]) oldest = slot;
    if (this.used[oldest] >= this.frame) return -1;
    this.held.delete(this.keys[oldest]);
    return oldest;
  }
}
