/** One group: two of its images compared, all of them as cards, and what can be decided about it. */

import { announce } from "../../lib/announce.js";
import { Compare } from "../../lib/compare.js";
import { fill, h, isolated } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { aspectOf, count, nameOf } from "../../lib/images.js";
import { similarParams } from "../search/state.js";
import { createCards } from "./cards.js";
import { percentText } from "./facts.js";
import { cardsOf, isDecided } from "./groups.js";
import { KINDS } from "./settings.js";

/**
 * @typedef {import("./groups.js").Group} Group
 * @typedef {import("./groups.js").Member} Member
 * @typedef {{step: (by: number) => void, decide: (kept: Member[], others: Member[]) => void, apart: (ids: string[], others: string[] | null) => void,
 *   back: () => void, help: () => void, params: () => Record<string, unknown>, tag: () => string, tags: () => string[]}} Actions
 */

const MODES = [["divider", "Divider"], ["sides", "Side by side"], ["difference", "Difference"]];
const LARGE = 1600;
const SMALL = 256;

/**
 * @param {import("../../app.js").Context} context
 * @param {Actions} actions
 */
export function createGroup(context, actions) {
  const { api, library, viewer, router } = context;
  /** @type {Group | null} */
  let group = null;
  /** @type {Member[][]} */
  let cards = [];
  let kept = new Set();
  let pair = [0, 1];
  let turn = 0;
  const compare = new Compare();
  const list = createCards(context, {
    compare: (at) => choose(at), keep: (at) => toggle(at), open: (at) => large(at),
    apart: (at) => apartFrom(at), similar: ({ id }) => router.go("search", similarParams(id)),
  });
  const title = h("h2", { class: "group-title", id: "group-title", tabindex: -1 });
  const about = h("p", { class: "soft small group-about" });
  const modes = h("div", { class: "segments", role: "radiogroup", "aria-label": "How to compare" }, MODES.map(([value, label]) =>
    h("label", { class: "segment" }, h("input", { type: "radio", class: "visually-hidden", name: "compare-mode", value, checked: value === "divider", on: { change: () => setMode(value) } }), h("span", null, label))));
  const names = h("p", { class: "compare-names soft small" });
  const button = (label, sign, key, run, more) =>
    h("button", { class: ["button", more], type: "button", title: key ? `${label} (${key})` : label, on: { click: run } }, icon(sign), h("span", { class: "action-text" }, label));
  const before = button("Previous", "left", "P", () => actions.step(-1), "action-step");
  const after = button("Next", "right", "N", () => actions.step(1), "action-step");
  const apart = button("Not the same", "close", "X", () => apartAll());
  const keep = button("Keep", "check", "K", () => decide(), "button-primary");
  const bar = h("div", { class: "group-actions", role: "toolbar", "aria-label": "Decide about this group" }, before,
    !library.read_only && [apart, keep], after);
  const element = h("section", { class: "group panel", "aria-labelledby": "group-title" },
    h("div", { class: "group-head" },
      h("button", { class: "icon-button group-back", type: "button", "aria-label": "Back to the groups", on: { click: () => actions.back() } }, icon("left")),
      h("div", { class: "group-heading" }, title, about), modes,
      h("button", { class: "icon-button group-help", type: "button", "aria-label": "Keys", title: "Keys (?)", on: { click: () => actions.help() } }, icon("info"))),
    compare.element, names, list.element, bar);
  return { element, show, key, forget: () => { group = null; }, focus: () => title.focus({ preventScroll: true }), current: () => group };

  /**
   * Show a group.
   * @param {Group | undefined} next @param {number} at @param {number} total
   */
  function show(next, at, total) {
    turn += 1;
    element.hidden = !next;
    if (!next) return;
    const again = group?.key === next.key;
    group = next;
    cards = cardsOf(next);
    before.disabled = at <= 0;
    after.disabled = at >= total - 1;
    const [, name, meaning] = KINDS.find(([kind]) => kind === next.kind) ?? ["", next.kind, ""];
    const likeness = next.kind === "same_bytes" || next.kind === "same_shot" ? "" : ` · ${percentText(next.score)}`;
    fill(title, name, h("span", { class: "soft group-count" }, ` ${count(next.images.length, "image")}${likeness}`));
    about.textContent = meaning;
    if (!again) {
      kept = chosen(next);
      pair = [0, Math.min(1, cards.length - 1)];
      const first = [...kept][0];
      if (first !== undefined && cards.length > 1) pair = [first, first === 0 ? 1 : 0];
      compare.move(50);
      announce(`Group ${at + 1} of ${total}: ${name}, ${count(next.images.length, "image")}`);
    } else kept = new Set([...kept].filter((each) => each < cards.length));
    list.show(next);
    marks();
    drawPair();
    void companions(turn);
  }

  /** The cards that were kept before, or else that the rules keep. */
  function chosen(next) {
    const decided = isDecided(next, actions.tags());
    const isKept = (image) => (decided ? image.tags.includes(actions.tag()) : image.keep === true);
    return new Set(cards.map((images, at) => (images.some(isKept) ? at : -1)).filter((at) => at >= 0));
  }

  /** Films and sidecars are looked up for the group that is shown only. */
  async function companions(mine) {
    try {
      const { images } = await api.get(`/duplicates/${group.key}`, { params: actions.params() });
      if (mine === turn) list.companions(images);
    } catch {
      // The group may have changed meanwhile; then the list is read again anyway.
    }
  }

  function marks() {
    list.mark(kept, cards.length > 1 ? pair : []);
    const number = [...kept].reduce((sum, at) => sum + cards[at].length, 0);
    const all = group?.images.length ?? 0;
    keep.querySelector(".action-text").textContent = number === all ? `Keep all ${all}` : `Keep ${number} of ${all}`;
    keep.disabled = number === 0;
  }

  function drawPair() {
    const [first, second] = pair.map((at) => cards[at]?.[0]);
    const single = cards.length < 2 || first === second;
    compare.show(picture(first, pair[0]), single ? null : picture(second, pair[1]));
    modes.hidden = single;
    drawNames();
  }

  function drawNames() {
    const [first, second] = pair.map((at) => cards[at]?.[0]);
    const single = cards.length < 2 || first === second;
    fill(names, h("span", { class: "clip" }, h("b", null, String(pair[0] + 1)), " ", isolated(nameOf(first.path))),
      !single && compare.mode === "difference" && h("span", { class: "compare-note" }, "Black: no difference"),
      !single && h("span", { class: "clip" }, h("b", null, String(pair[1] + 1)), " ", isolated(nameOf(second.path))));
  }

  function picture(image, at) {
    return {
      src: api.thumbnail(image.id, LARGE), small: api.thumbnail(image.id, SMALL), label: `Image ${at + 1}: ${nameOf(image.path)}`, aspect: aspectOf(image),
      turned: image.turned, mirrored: image.mirrored,
    };
  }

  /** Compare an image with the first of the pair, or with another one if it is that one itself. */
  function choose(at) {
    if (at === pair[0]) pair = [pair[1], pair[0]];
    else pair = [pair[0], at];
    marks();
    drawPair();
  }

  function stepPair(by) {
    if (cards.length < 2) return;
    let at = pair[1];
    do at = (at + by + cards.length) % cards.length;
    while (at === pair[0]);
    if (at !== pair[1]) choose(at);
    announce(`Image ${pair[0] + 1} beside image ${pair[1] + 1}`);
  }

  function toggle(at) {
    if (at >= cards.length || library.read_only) return;
    if (!kept.delete(at)) kept.add(at);
    marks();
    announce(`Image ${at + 1} ${kept.has(at) ? "is kept" : "is not kept"}`);
  }

  function decide() {
    if (!group || kept.size === 0 || library.read_only) return;
    actions.decide(cards.filter((_, at) => kept.has(at)).flat(), cards.filter((_, at) => !kept.has(at)).flat());
  }

  function apartAll() {
    if (group && !library.read_only) actions.apart(group.images.map(({ id }) => id), null);
  }

  function apartFrom(at) {
    if (!group || library.read_only) return;
    const own = cards[at].map(({ id }) => id);
    actions.apart(own, group.images.map(({ id }) => id).filter((id) => !own.includes(id)));
  }

  function setMode(mode) {
    compare.setMode(mode);
    for (const field of modes.querySelectorAll("input")) field.checked = field.value === mode;
    if (group) drawNames();
  }

  function large(at) {
    const ids = cards.map(([image]) => image.id);
    viewer({ ids, at });
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether it was a command */
  function key(event) {
    if (!group) return false;
    const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (letter === "ArrowRight") stepPair(1);
    else if (letter === "ArrowLeft") stepPair(-1);
    else if (/^[1-9]$/.test(letter)) toggle(Number(letter) - 1);
    else if (letter === "k") decide();
    else if (letter === "a") {
      kept = new Set(cards.keys());
      marks();
      announce("All images are kept");
    } else if (letter === "x") apartAll();
    else if (letter === "o") apartFrom(pair[1]);
    else if (letter === "c") setMode(MODES[(MODES.findIndex(([mode]) => mode === compare.mode) + 1) % MODES.length][0]);
    else if (letter === "," || letter === ".") compare.move(compare.at + (letter === "," ? -5 : 5));
    else if (letter === "l") large(pair[1]);
    else return false;
    return true;
  }
}
