/**
 * Duplicates: groups of images that are the same or alike, one at a time; what is decided is remembered in the library.
 *
 * Nothing is deleted: images to keep and the others get tags, and pairs that are not the same are never shown again.
 */

import { confirmed } from "../lib/dialog.js";
import { fill, h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { count } from "../lib/images.js";
import { createGroup } from "./duplicates/group.js";
import { Groups } from "./duplicates/groups.js";
import { isTaken, openKeys } from "./duplicates/keys.js";
import { createList } from "./duplicates/list.js";
import { asParams, decidedTags, KINDS, parse, storeChoice, storedChoice, usable } from "./duplicates/settings.js";
import { createStart } from "./duplicates/start.js";
import { createToolbar } from "./duplicates/toolbar.js";

const COPIES = ["same_bytes", "same_picture"];
const STEPS = 100; // that can be undone

/** @type {import("./table.js").Mount} */
export async function mount(root, context) {
  const { api, router, library, announce, toast } = context;
  let shown = parse(router.current().params);
  let choice = storedChoice();
  let at = 0;
  let gone = false;
  /** @type {{text: string, run: () => Promise<void>, at: number}[]} */
  const steps = [];

  const groups = new Groups(api, () => arrived());
  const start = createStart(context, { ended: () => void load().then(show) });
  const toolbar = createToolbar(context, { shown: () => shown, choice: () => choice, facts: () => groups.facts, change, chosen, applyToAll: () => void applyToAll(), searchAgain: () => void searchAgain() });
  const list = createList(context, { groups, choose: (to, { open } = {}) => go(to, { open }), tags: () => decidedTags(choice) });
  const group = createGroup(context, { step: (by) => go(at + by), decide, apart: (ids, others) => void apart(ids, others), back, help, params: () => asParams(shown, choice), tag: () => choice.tag, tags: () => decidedTags(choice) });
  const none = h("div", { class: "empty", hidden: true });
  const review = h("div", { class: "review" }, list.element, group.element, none);
  const unlisten = router.listen(({ view, params }) => view === "duplicates" && void routed(params));
  document.addEventListener("keydown", keydown);

  if (await start.resume()) fill(root, start.element);
  else {
    await load();
    show();
  }
  return () => {
    gone = true;
    unlisten();
    document.removeEventListener("keydown", keydown);
    groups.destroy();
    list.destroy();
    start.destroy();
  };

  /* ---- what is shown ---- */

  /** Read the groups around the one that is shown. */
  async function load() {
    try {
      await groups.load(asParams(shown, choice), at);
    } catch (error) {
      if (api.aborted(error)) throw error;
      if (error.status === 400 && (shown.threshold || shown.most)) return change({ from: null, most: null }); // of another search
      else throw error;
    }
  }

  function show() {
    if (gone) return;
    if (!groups.facts) {
      start.invite();
      fill(root, start.element);
      return;
    }
    const known = shown.group ? groups.indexOf(({ key }) => key === shown.group) : -1;
    at = known >= 0 ? known : Math.max(0, Math.min(at, groups.total - 1));
    if (!review.isConnected) fill(root, h("h1", { class: "visually-hidden" }, "Duplicates"), toolbar.element, review);
    draw();
  }

  function draw() {
    if (gone || !groups.facts) return;
    toolbar.draw();
    review.classList.toggle("review-open", shown.group !== "" && groups.total > 0);
    none.hidden = groups.total > 0;
    list.element.hidden = groups.total === 0;
    group.show(groups.at(at), at, groups.total);
    list.draw();
    list.select(groups.total > 0 ? at : -1);
    if (groups.total === 0) drawNone();
  }

  /** More groups are here. */
  function arrived() {
    if (gone || !review.isConnected) return;
    list.update();
    if (group.current()?.key !== groups.at(at)?.key) group.show(groups.at(at), at, groups.total);
  }

  function drawNone() {
    const { counts, images } = groups.facts;
    const all = Object.values(counts).reduce((sum, each) => sum + each, 0);
    const hidden = !shown.decided && Object.entries(counts).some(([kind, each]) => each > 0 && (shown.kinds.length === 0 || shown.kinds.includes(kind)));
    fill(none, icon(all > 0 ? "check" : "duplicates"), h("h2", null, hidden ? "All groups are decided" : all > 0 ? "No group of these kinds" : "No duplicates"),
      h("p", null, hidden ? `Images to keep have the tag “${choice.tag}”. Files are where they were.` : `${count(images, "image")} were compared.`),
      hidden && h("button", { class: "button", type: "button", on: { click: () => change({ decided: "1" }) } }, "Show decided groups"));
  }

  async function routed(params) {
    const before = shown;
    shown = parse(params);
    if (!groups.facts) return;
    const same = ["kinds", "threshold", "most", "decided", "marked"].every((name) => String(before[name]) === String(shown[name]));
    if (!same) {
      if (!shown.group) at = 0;
      await load();
    }
    show();
  }

  function change(changes) {
    router.update(changes, { replace: true });
  }

  /** Show a group; on a phone, in place of the list if it is opened. */
  function go(to, { open = false } = {}) {
    if (to < 0 || to >= groups.total) return;
    at = to;
    const found = groups.at(to);
    const opened = shown.group !== "" || open;
    if (opened && found) router.update({ group: found.key }, { replace: shown.group !== "" });
    draw();
    scrollTo({ top: 0 });
    if (open && shown.group !== "" && getComputedStyle(list.element).display === "none") group.focus();
  }

  function back() {
    router.update({ group: null }, { replace: true });
    list.element.focus();
  }

  /* ---- decisions ---- */

  function chosen(changes) {
    choice = { ...choice, ...changes };
    storeChoice(choice);
    void load().then(() => {
      group.forget();
      show();
    });
  }

  /** Tag images and go on; the tags that were there already stay at an undo. */
  function decide(kept, others) {
    const part = (images, tag, tagged) => ({ tag, ids: images.filter(({ tags }) => tags.includes(tag) === tagged).map(({ id }) => id) });
    const counts = ({ tag, ids }) => tag && ids.length > 0;
    const added = [part(kept, choice.tag, false), part(others, choice.others, false)].filter(counts);
    const removed = [part(others, choice.tag, true), part(kept, choice.others, true)].filter(counts);
    const send = async (puts, takes) => {
      for (const { ids, tag } of puts) await api.post("/images/tags", { ids, add: [tag], remove: [] });
      for (const { ids, tag } of takes) await api.post("/images/tags", { ids, add: [], remove: [tag] });
    };
    void step(`${count(kept.length, "image")} tagged “${choice.tag}”`, () => send(added, removed), () => send(removed, added));
  }

  async function apart(ids, others) {
    const pairs = { ids, others };
    await step("Marked as not the same", () => api.post("/duplicates/not-same", pairs), () => api.del("/duplicates/not-same", pairs), others?.[0]);
  }

  /**
   * Do something about the group that is shown, remember how to undo it, and go on to the next group; or stay with what
   * remains of it, by the id of one of its images.
   */
  async function step(text, run, undo, stay = "") {
    const here = at;
    const was = group.current()?.key;
    try {
      await run();
      steps.push({ text, run: undo, at: here });
      if (steps.length > STEPS) steps.shift();
      await load();
    } catch (error) {
      if (!api.aborted(error)) throw error;
      return;
    }
    // A group that is still there was decided and is shown all the same: the next one follows.
    const rest = stay ? groups.indexOf(({ images }) => images.some(({ id }) => id === stay)) : -1;
    at = rest >= 0 ? rest : groups.at(here)?.key === was ? here + 1 : here;
    at = Math.min(at, Math.max(0, groups.total - 1));
    shownAt();
    toast(`${text}.`, { kind: "good", action: { label: "Undo", run: () => void undoLast() } });
    void library.reload();
  }

  async function undoLast() {
    const last = steps.pop();
    if (!last) return announce("There is nothing to undo");
    await last.run();
    at = last.at;
    await load();
    shownAt();
    announce(`Undone: ${last.text}`);
    void library.reload();
  }

  /** Show the group at the present place, and have its key in the address if one is open. */
  function shownAt() {
    const found = groups.at(at);
    if (shown.group !== "") {
      shown = { ...shown, group: found?.key ?? "" };
      router.update({ group: found?.key ?? null }, { replace: true });
    }
    group.forget();
    show();
    scrollTo({ top: 0 }); // the pictures of the next group
  }

  async function applyToAll() {
    const rules = usable(choice);
    if (rules.length === 0) return;
    const kinds = shown.kinds.length > 0 ? shown.kinds : COPIES;
    const names = KINDS.filter(([name]) => kinds.includes(name)).map(([, title]) => title.toLowerCase()).join(", ");
    const number = kinds.reduce((sum, kind) => sum + (groups.facts?.counts[kind] ?? 0), 0);
    const others = choice.others ? `, the others “${choice.others}”` : "";
    const text = `In ${count(number, "group")} (${names}), images to keep are tagged “${choice.tag}”${others}. Decided groups stay as they are. No file is changed.`;
    if (!(await confirmed({ title: "Tag all groups?", text, action: "Tag them" }))) return;
    const { threshold, most } = shown;
    const body = { rules, prefer: choice.prefer, kinds, threshold, most, without_tag: decidedTags(choice), tag: choice.tag, tag_others: choice.others || null };
    const done = await api.post("/duplicates/keep", body);
    await load();
    at = 0;
    shownAt();
    toast(`${count(done.kept, "image")} to keep and ${count(done.others, "other")} in ${count(done.groups, "group")}.`, { kind: "good" });
    void library.reload();
  }

  async function searchAgain() {
    fill(root, start.element);
    if (!(await start.search())) show();
  }

  function help() {
    openKeys({ letters: choice.letters, changed: (letters) => { choice = { ...choice, letters }; storeChoice(choice); } });
  }

  function keydown(event) {
    if (!review.isConnected || isTaken(event)) return;
    const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (letter.length === 1 && !choice.letters && letter !== "?") return;
    if (letter === "?") help();
    else if (letter === "n") go(at + 1);
    else if (letter === "p") go(at - 1);
    else if (letter === "z") void undoLast();
    else if (!group.key(event)) return;
    event.preventDefault();
  }
}
