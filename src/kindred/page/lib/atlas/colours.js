/** Colours of the points of a map. */

/** Colours of groups, told apart on light and on dark ground. */
export const GROUPS = ["#1f9e89", "#e0803a", "#7a74e0", "#d94f86", "#6aa534", "#c9a227", "#3b8fd9", "#b06a3b", "#a95bd0", "#3fb0c4", "#d9534f"];
export const OTHERS = "#8a9099";
export const NO_DAY = -(2 ** 31);

// From the oldest to the newest.
const TIMES = ["#5a3fa8", "#3a6fc4", "#1f9e9a", "#6fb53c", "#e6b422", "#ec7d2d"];

/** [red, green, blue] of "#rrggbb". */
export function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** The colour at a share from 0 (oldest) to 1 (newest). */
export function timeColour(share) {
  const place = Math.max(0, Math.min(1, share)) * (TIMES.length - 1);
  const low = Math.min(TIMES.length - 2, Math.floor(place));
  const [a, b] = [rgb(TIMES[low]), rgb(TIMES[low + 1])];
  return a.map((value, channel) => Math.round(value + (b[channel] - value) * (place - low)));
}

/** The colour of a group as text. */
export function groupColour(number) {
  return GROUPS[number] ?? OTHERS;
}

/**
 * Write red, green and blue of every image to `out`, four bytes each.
 * @param {Uint8Array} out
 * @param {Uint8Array} groups numbers, 255 for others
 */
export function colourByGroup(out, groups) {
  const colours = Array.from({ length: 256 }, (_, number) => rgb(groupColour(number)));
  for (let at = 0; at < groups.length; at += 1) out.set(colours[groups[at]], 4 * at);
}

/**
 * Write the colour of every image by its day; by rank, since libraries are uneven in time.
 * @param {Uint8Array} out @param {Int32Array} days
 */
export function colourByDay(out, days) {
  const sorted = days.filter((day) => day !== NO_DAY).sort();
  const ranks = Array.from({ length: 64 }, (_, step) => timeColour(step / 63));
  const none = rgb(OTHERS);
  for (let at = 0; at < days.length; at += 1) {
    const share = sorted.length > 1 ? lowerBound(sorted, days[at]) / (sorted.length - 1) : 0.5;
    out.set(days[at] === NO_DAY ? none : ranks[Math.min(63, Math.round(share * 63))], 4 * at);
  }
}

function lowerBound(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
