/**
 * The timeline: bars of the number of images by month, and two handles that choose a part of time. The bars are drawn;
 * the handles are sliders for keys and screen readers; dragging over the bars chooses as well.
 */

import { fill, h, svg } from "../dom.js";
import { icon } from "../icons.js";
import { count } from "../images.js";
import { barsOf, countInto, dayOfMonth, isoDay, yearMarks } from "./months.js";

const NARROWEST = 5; // px of a bar
const WIDEST = 64;
const HEIGHT = 44; // px of the highest bar
const MONTH = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric", timeZone: "UTC" });

/**
 * @param {Int32Array} days of all images
 * @param {{
 *   changed: (range: {from: number, to: number} | null) => void,
 *   grid: (range: {from: string, to: string} | null) => void,
 * }} options changed: days chosen, `to` not included; grid: show them in the grid of images
 */
export function createTimeline(days, { changed, grid }) {
  let bars = null;
  let range = null; // bars [from, to], both included
  let shown = null;
  let width = 0;
  const drawing = svg("svg", { class: "timeline-bars", "aria-hidden": "true", preserveAspectRatio: "none" });
  const years = h("div", { class: "timeline-years", "aria-hidden": "true" });
  const handle = (label) => h("div", { class: "timeline-handle", role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": 0 });
  const [start, end] = [handle("From"), handle("To")];
  const track = h("div", { class: "timeline-track" }, drawing, years, start, end);
  const text = h("p", { class: "timeline-text small", role: "status" });
  const clear = h("button", { class: "button button-small button-quiet", type: "button", on: { click: () => choose(null) } }, "All dates");
  const list = h("button", { class: "button button-small button-quiet", type: "button", on: { click: () => grid(isoRange()) } }, icon("library"), h("span", { class: "tool-text" }, "In the grid"));
  const element = h("section", { class: "timeline", "aria-label": "Timeline" }, h("div", { class: "timeline-head" }, text, list, clear), track);
  const observer = new ResizeObserver(() => resize());
  observer.observe(track);
  start.addEventListener("keydown", (event) => key(event, 0));
  end.addEventListener("keydown", (event) => key(event, 1));
  drag();
  return { element, filter, close: () => observer.disconnect() };

  /** Count only some images. @param {Uint8Array | null} mask */
  function filter(mask) {
    shown = mask;
    draw();
  }

  /** Choose bars, or all of time. @param {[number, number] | null} bounds */
  function choose(bounds) {
    const whole = !bounds || (bounds[0] <= 0 && bounds[1] >= bars.counts.length - 1);
    range = whole ? null : [Math.max(0, bounds[0]), Math.min(bars.counts.length - 1, bounds[1])];
    draw();
    changed(range && { from: dayFrom(), to: dayTo() });
  }

  function dayFrom() {
    return dayOfMonth(bars.first + range[0] * bars.step);
  }

  function dayTo() {
    return dayOfMonth(bars.first + (range[1] + 1) * bars.step);
  }

  function isoRange() {
    return range && { from: isoDay(dayFrom()), to: isoDay(dayTo() - 1) };
  }

  function resize() {
    if (track.clientWidth === 0 || track.clientWidth === width) return;
    const before = range && { from: dayFrom(), to: dayTo() };
    width = track.clientWidth;
    bars = barsOf(days, Math.floor(width / NARROWEST));
    element.classList.toggle("timeline-undated", !bars);
    if (!bars) {
      text.textContent = "These images have no dates";
      return;
    }
    if (before) range = rangeOf(before);
    draw();
  }

  function rangeOf({ from, to }) {
    const at = (day) => [...bars.counts.keys()].findLast((bar) => dayOfMonth(bars.first + bar * bars.step) <= day) ?? 0;
    return [at(from), at(to - 1)];
  }

  function draw() {
    if (!bars) return;
    const { counts } = bars;
    const now = countInto(bars, days, shown, new Uint32Array(counts.length));
    const most = Math.max(1, ...counts);
    const each = width / counts.length;
    const gap = each > 8 ? 2 : each > 4 ? 1 : 0;
    // The root shows single images beside thousands.
    const tall = (value) => (value === 0 ? 0 : Math.max(2, HEIGHT * Math.sqrt(value / most)));
    const wide = Math.min(WIDEST, Math.max(1, each - gap));
    const bar = (value, at, name) => value > 0 && svg("rect", {
      class: name, x: (at * each + (each - wide) / 2).toFixed(2), y: (HEIGHT - tall(value)).toFixed(2), width: wide.toFixed(2), height: tall(value).toFixed(2),
      rx: Math.min(3, each / 3).toFixed(1),
    });
    drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const inRange = (at) => !range || (at >= range[0] && at <= range[1]);
    fill(drawing, [...counts].map((value, at) => [bar(value, at, "bar-all"), bar(now[at], at, inRange(at) ? "bar-now" : "bar-out")]));
    fill(years, yearMarks(bars, each).map(([at, year]) => h("span", { style: { left: `${at * each}px` } }, year)));
    const [from, to] = range ?? [0, counts.length - 1];
    place(start, from * each, from, to, month(from));
    place(end, (to + 1) * each, to, counts.length - 1, month(to, true));
    end.setAttribute("aria-valuemin", String(from));
    element.classList.toggle("timeline-chosen", range !== null);
    track.style.setProperty("--from", `${from * each}px`);
    track.style.setProperty("--to", `${(to + 1) * each}px`);
    clear.hidden = range === null;
    let sum = 0;
    for (let at = from; at <= to; at += 1) sum += now[at];
    const [first, last] = [month(from), month(to, true)];
    text.textContent = `${first === last ? first : `${first} – ${last}`} · ${count(sum, "image")}`;
  }

  function place(slider, left, value, most, words) {
    slider.style.setProperty("left", `${left}px`);
    slider.setAttribute("aria-valuenow", String(value));
    slider.setAttribute("aria-valuemax", String(most));
    slider.setAttribute("aria-valuetext", words);
  }

  /** The first month of a bar, or its last, in words. */
  function month(bar, last = false) {
    return MONTH.format(dayOfMonth(bars.first + bar * bars.step + (last ? bars.step - 1 : 0)) * 86_400_000);
  }

  function key(event, which) {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -6, PageUp: 6, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || !bars) return;
    event.preventDefault();
    const now = [...(range ?? [0, bars.counts.length - 1])];
    const [low, high] = which === 0 ? [0, now[1]] : [now[0], bars.counts.length - 1];
    now[which] = Math.max(low, Math.min(high, now[which] + step));
    choose(now);
  }

  function drag() {
    let from = null;
    const barAt = ({ clientX }) => {
      const share = (clientX - track.getBoundingClientRect().left) / Math.max(1, width);
      return Math.max(0, Math.min(bars.counts.length - 1, Math.floor(share * bars.counts.length)));
    };
    track.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || !bars) return;
      track.setPointerCapture(event.pointerId);
      const at = barAt(event);
      const grip = event.target === start ? range?.[1] : event.target === end ? range?.[0] : undefined;
      from = grip ?? (event.target === start ? bars.counts.length - 1 : event.target === end ? 0 : at);
      if (event.target !== start && event.target !== end) choose([at, at]);
    });
    track.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const at = barAt(event);
      choose([Math.min(from, at), Math.max(from, at)]);
    });
    for (const name of ["pointerup", "pointercancel"]) track.addEventListener(name, () => (from = null));
  }
}
