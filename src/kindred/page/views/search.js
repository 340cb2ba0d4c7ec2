/**
 * Search: the images of the library, and those that show the same thing as some images.
 *
 * What is shown is decided by the address alone (search/state.js); everything that one does changes the address.
 */

import { fill } from "../lib/dom.js";
import { openExport } from "../lib/export.js";
import { count } from "../lib/images.js";
import { createBrowse } from "./search/browse.js";
import { openExplanation } from "./search/explain.js";
import { createIntake, DRAGGED } from "./search/intake.js";
import { createQueryBar } from "./search/querybar.js";
import { createResults } from "./search/results.js";
import { isSearch, parseState, queryParams } from "./search/state.js";
import { createToolbar } from "./search/toolbar.js";

/** @type {import("./table.js").Mount} */
export async function mount(root, context) {
  const { router, viewer, toast } = context;
  let state = parseState(router.current().params);
  /** @type {{handle: any, ids: string[], pushed: boolean} | null} */
  let large = null;
  let explanation = null;

  const change = (changes, options) => router.update({ show: null, why: null, ...changes }, options);
  const bar = createQueryBar(context, { choose: () => intake.choose(), photograph: () => intake.photograph(), change: (query) => asked(query) });
  const intake = createIntake(context, { add: (images) => images.length > 0 && asked([...state.query, ...images]), busy: bar.busy, over: bar.over });
  const toolbar = createToolbar(context, { change, exported: () => void exported() });
  const browse = createBrowse(context, { open, similar });
  const results = createResults(context, { open, similar, why, change, drawn });
  fill(root, intake.elements, bar.element, toolbar.element, browse.element, results.element);
  root.addEventListener("dragstart", dragged);
  const unlisten = router.listen(({ view, params }) => view === "search" && route(params));
  route(router.current().params);

  return () => {
    unlisten();
    intake.stop();
    large?.handle.close();
    explanation?.close();
    browse.destroy();
    results.destroy();
  };

  function route(params) {
    state = parseState(params);
    bar.show(state.query);
    toolbar.show(state);
    if (isSearch(state)) {
      browse.hide();
      browse.element.hidden = true;
      results.show(state);
    } else {
      results.hide();
      void browse.show(state);
    }
    showLarge();
    showWhy();
  }

  function drawn() {
    toolbar.canExport(results.images().length > 0);
    explanation?.refresh();
  }

  /** Search for these images; marks belong to the search before. */
  function asked(query) {
    change({ ...queryParams(query), right: null, wrong: null, below: null });
    scrollTo({ top: 0 });
  }

  function similar({ id }) {
    asked([{ kind: "image", id, wanted: true, box: null }]);
  }

  function why({ id }) {
    router.update({ why: id });
  }

  /** Images of the grids can be dragged onto the query. */
  function dragged(event) {
    const id = event.target.dataset?.id;
    if (!id || !event.dataTransfer) return;
    event.dataTransfer.setData(DRAGGED, id);
    event.dataTransfer.effectAllowed = "copy";
  }

  /** Export the answers above the line, or all that are shown. */
  async function exported() {
    const [above, all] = [results.above(), results.images()].map((images) => images.map(({ id }) => id));
    const parts = [
      above.length > 0 && { ids: above, label: count(above.length, "image"), note: "above the line" },
      all.length > above.length && { ids: all, label: `All ${count(all.length, "image")}`, note: "now shown" },
    ].filter(Boolean);
    const number = await openExport(context, { title: "Export answers", parts });
    if (number > 0) toast(`${count(number, "image")} exported.`, { kind: "good" });
  }

  /* ---- the large view and the explanation, which are in the address too ---- */

  function open(ids, at, known) {
    large = { handle: null, ids, known, pushed: true };
    router.update({ show: ids[at] });
  }

  function showLarge() {
    if (!state.show) {
      large?.handle?.close();
      large = null;
      return;
    }
    if (large?.handle) return;
    // After a reload, the images to go through are those that are there.
    large ??= { handle: null, ids: [state.show], known: () => undefined, pushed: false };
    const at = Math.max(0, Array.prototype.indexOf.call(large.ids, state.show));
    const { ids, known, pushed } = large;
    large.handle = viewer({
      ids, at, known, actions,
      moved: (_, id) => router.update({ show: id }, { replace: true }),
      closed: (_, id) => closedLarge(id, pushed),
    });
  }

  /** Back to the grid, at the image that was seen last. */
  function closedLarge(id, pushed) {
    const isOpen = parseState(router.current().params).show !== "";
    large = null;
    if (isOpen && pushed) history.back();
    else if (isOpen) router.update({ show: null }, { replace: true });
    for (const grid of [browse.grid, ...results.grids]) {
      if (grid.element.isConnected && !grid.element.closest("[hidden]") && grid.indexOf(id) >= 0) return grid.goTo(grid.indexOf(id));
    }
  }

  function actions(image) {
    const answer = isSearch(state) ? results.known(image.id) : undefined;
    const mark = (label, icon, kind) => ({
      label, icon, pressed: results.marks.of(image.id) === kind,
      run: () => { results.marks.toggle(image, kind); large?.handle.refresh(); },
    });
    return [
      { label: "More like this", icon: "similar", key: "s", run: similar },
      ...(answer ? [{ label: "Why this?", icon: "lines", key: "w", run: why }, mark("Right", "thumbup", "right"), mark("Wrong", "thumbdown", "wrong")] : []),
    ];
  }

  function showWhy() {
    if (!state.why || !isSearch(state)) {
      explanation?.close();
      explanation = null;
      return;
    }
    if (explanation) return;
    const id = state.why;
    explanation = openExplanation(context, { query: state.query, id, known: () => results.known(id) });
    void explanation.closed.then(() => {
      explanation = null;
      if (parseState(router.current().params).why) router.update({ why: null }, { replace: true });
    });
  }
}
