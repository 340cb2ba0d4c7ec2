/**
 * Justified rows: images of any shape in rows of one width, each row as high as its images need.
 *
 * One pass over the aspect ratios, results in typed arrays: a million images take some tens of milliseconds.
 *
 * @typedef {{
 *   starts: Int32Array, tops: Float64Array, heights: Float32Array, rows: number, total: number,
 *   width: number, gap: number,
 * }} Rows row r has the images starts[r] to starts[r + 1] − 1, its top edge at tops[r] px, and heights[r] px;
 *   total: the height of everything in px
 */

/** Wider or taller images are shown cut, so that one panorama does not become a row of a few pixels. */
export const NARROWEST = 0.4;
export const WIDEST = 3.6;

/** The aspect ratio (width / height) that an image is shown with. */
export function shownAspect(aspect) {
  return Number.isFinite(aspect) && aspect > 0 ? Math.min(WIDEST, Math.max(NARROWEST, aspect)) : 1;
}

/**
 * Lay images out in rows.
 * @param {ArrayLike<number>} aspects width / height of each image
 * @param {{width: number, target: number, gap: number, count?: number, breaks?: ArrayLike<number>, header?: number}} options
 *   in px; target: the height a row should have; breaks: images (ascending) that begin a section, with a header above
 * @returns {Rows}
 */
export function justify(aspects, { width, target, gap, count = aspects.length, breaks = [], header = 0 }) {
  const starts = new Int32Array(count + 1);
  const tops = new Float64Array(count + 1);
  const heights = new Float32Array(count + 1);
  let rows = 0;
  let top = 0;
  let section = 0;
  for (let first = 0; first < count;) {
    if (breaks[section] === first) {
      top += header;
      section += 1;
    }
    const end = section < breaks.length ? Math.min(count, breaks[section]) : count;
    const { next, height } = oneRow(aspects, first, end, { width, target, gap });
    starts[rows] = first;
    tops[rows] = top;
    heights[rows] = height;
    top += height + gap;
    rows += 1;
    first = next;
  }
  starts[rows] = count;
  return {
    starts: starts.subarray(0, rows + 1), tops: tops.subarray(0, rows), heights: heights.subarray(0, rows),
    rows, total: Math.max(0, top - gap), width, gap,
  };
}

/** The images of a row that begins at `first`, and its height: as near to the target as one image more or less allows. */
function oneRow(aspects, first, end, { width, target, gap }) {
  let sum = 0;
  let before = Infinity;
  for (let at = first; at < end; at += 1) {
    sum += shownAspect(aspects[at]);
    const height = (width - gap * (at - first)) / sum;
    if (height <= target) {
      const without = at > first && before / target < target / height;
      return without ? { next: at, height: before } : { next: at + 1, height };
    }
    before = height;
  }
  // The last row is not stretched to the full width, unless it is nearly full.
  return { next: end, height: before < target * 1.15 ? before : Math.min(target, before) };
}

/**
 * The images of a row: left edge and width of each, in px.
 * @param {Rows} layout
 * @param {ArrayLike<number>} aspects
 * @param {number} row
 * @returns {{index: number, left: number, width: number}[]}
 */
export function placesOf(layout, aspects, row) {
  const places = [];
  let left = 0;
  for (let index = layout.starts[row]; index < layout.starts[row + 1]; index += 1) {
    const width = shownAspect(aspects[index]) * layout.heights[row];
    places.push({ index, left, width });
    left += width + layout.gap;
  }
  return places;
}

/**
 * The last row whose top edge is at or above y.
 * @param {Rows} layout
 * @param {number} y in px from the top of everything
 */
export function rowAt(layout, y) {
  return lastAtMost(layout.tops, y, layout.rows);
}

/** The row of an image. */
export function rowOf(layout, index) {
  return lastAtMost(layout.starts, index, layout.rows);
}

function lastAtMost(values, wanted, count) {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle] <= wanted) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}
