/**
 * Days and months as numbers: a day counts from 1970-01-01, a month from January 1970.
 *
 * @typedef {{first: number, step: number, counts: Uint32Array}} Bars first: month of the first bar; step: months of a bar
 */

import { NO_DAY } from "./colours.js";

const STEPS = [1, 3, 12, 60, 120];

/** The month of a day. */
export function monthOfDay(day) {
  const date = new Date(day * 86_400_000);
  return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth();
}

/** The first day of a month. */
export function dayOfMonth(month) {
  const date = new Date(0);
  date.setUTCFullYear(1970 + Math.floor(month / 12), ((month % 12) + 12) % 12, 1);
  return Math.round(date.getTime() / 86_400_000);
}

/** "2024-05-31" of a day. */
export function isoDay(day) {
  return new Date(day * 86_400_000).toISOString().slice(0, 10);
}

/** The year of a month. */
export function yearOf(month) {
  return 1970 + Math.floor(month / 12);
}

/** The first and the last day; null without any date. @param {Int32Array} days @returns {[number, number] | null} */
export function firstAndLast(days) {
  let [low, high] = [Infinity, -Infinity];
  for (const day of days) {
    if (day === NO_DAY) continue;
    if (day < low) low = day;
    if (day > high) high = day;
  }
  return low > high ? null : [low, high];
}

/**
 * Bars of the number of images over time, of months, quarters, years or more, at most `most`; null without any date.
 * @param {Int32Array} days @param {number} most
 * @returns {Bars | null}
 */
export function barsOf(days, most) {
  const known = firstAndLast(days);
  if (!known) return null;
  const [from, to] = known.map(monthOfDay);
  const step = STEPS.find((each) => (to - from) / each + 2 <= most) ?? STEPS.at(-1);
  const first = Math.floor(from / step) * step;
  const bars = { first, step, counts: new Uint32Array(Math.floor((to - first) / step) + 1) };
  countInto(bars, days);
  return bars;
}

/**
 * Count the images of each bar anew, of all or of some.
 * @param {Bars} bars @param {Int32Array} days @param {Uint8Array | null} [shown] 0 for images that do not count
 * @param {Uint32Array} [counts]
 */
export function countInto({ first, step, counts: own }, days, shown = null, counts = own) {
  counts.fill(0);
  // The first day of each bar, so that no date is made for each image.
  const starts = Array.from({ length: counts.length + 1 }, (_, bar) => dayOfMonth(first + bar * step));
  for (let at = 0; at < days.length; at += 1) {
    if (days[at] === NO_DAY || (shown && !shown[at])) continue;
    const bar = barAt(starts, days[at]);
    if (bar >= 0 && bar < counts.length) counts[bar] += 1;
  }
  return counts;
}

function barAt(starts, day) {
  let [low, high] = [0, starts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= day) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The years to write below bars of a width in px, at least `apart` px from one another: [bar, year]. */
export function yearMarks({ first, step, counts }, width, apart = 46) {
  const marks = [];
  let end = -Infinity;
  for (let bar = 0; bar < counts.length; bar += 1) {
    const month = first + bar * step;
    const begins = step >= 12 || ((month % 12) + 12) % 12 < step;
    if (!begins || bar * width - end < apart) continue;
    marks.push([bar, yearOf(month)]);
    end = bar * width;
  }
  return marks;
}
