/** Sizes, rates and times, as people read them. */

import { count } from "./images.js";

const WHOLE = new Intl.NumberFormat();
const ONE = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const UNITS = ["kB", "MB", "GB", "TB"];

/** "1.2 GB" @param {number} bytes */
export function bytesText(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  let value = bytes;
  let unit = -1;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 ? ONE.format(value) : WHOLE.format(Math.round(value))} ${UNITS[unit]}`;
}

/** "45 per second", "2 per minute"; "" if nothing is known. @param {number | null} perSecond */
export function rateText(perSecond) {
  if (!perSecond) return "";
  if (perSecond >= 0.95) return `${perSecond < 9.95 ? ONE.format(perSecond) : WHOLE.format(Math.round(perSecond))} per second`;
  const perMinute = perSecond * 60;
  return `${perMinute < 9.95 ? ONE.format(perMinute) : WHOLE.format(Math.round(perMinute))} per minute`;
}

/** "less than a minute left", "about 12 minutes left"; "" if nothing is known. @param {number | null} seconds */
export function leftText(seconds) {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 50 ? "less than a minute left" : `about ${durationText(seconds)} left`;
}

/** "3 seconds", "2 minutes", "3 hours 10 minutes" @param {number} seconds */
export function durationText(seconds) {
  if (seconds < 50) return count(Math.max(1, Math.round(seconds)), "second");
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) return count(minutes, "minute");
  const rest = minutes < 600 ? minutes % 60 : 0;
  return count(Math.round((minutes - rest) / 60), "hour") + (rest ? ` ${count(rest, "minute")}` : "");
}
