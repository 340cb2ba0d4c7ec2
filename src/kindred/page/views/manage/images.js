/** The images of the library to select, and what can be done with those that are selected. */

import { h } from "../../lib/dom.js";
import { menuButton } from "../../lib/menu.js";
import { Selection } from "../../lib/selection.js";
import { createBrowse, SORTS } from "../search/browse.js";
import { createFilters } from "../search/filters.js";
import { parseState, similarParams } from "../search/state.js";
import { createActions } from "./actions.js";

/** What is selected stays so while one looks at other views. */
const selection = new Selection();

/**
 * @param {import("../../app.js").Context} context
 * @param {{jobs: import("./jobs.js").Jobs}} parts
 */
export function createImages(context, { jobs }) {
  const { router, library, viewer } = context;
  let state = parseState(router.current().params);
  const filters = createFilters(context, ({ folder, tags, from, to, where }) => router.update({ folder, tag: tags, from, to, where }));
  const sort = menuButton({ label: "Order", icon: "sort", text: "Order", items: () => SORTS.map(([value, label]) =>
    ({ label, checked: (state.sort || "") === value, run: () => router.update({ sort: value || null }) })) });
  const similar = ({ id }) => router.go("search", similarParams(id));
  const browse = createBrowse(context, { open, similar, selection });
  const actions = createActions(context, { selection, jobs, order: () => browse.grid.images.ids, changed, removed });
  const tools = h("div", { class: "toolbar" }, h("div", { class: "toolbar-tools" }, filters.button, sort), filters.chips);
  const element = h("div", { class: "manage-images" }, tools, actions.element, browse.element);
  let large = null;
  const unlistenJobs = jobs.listen(() => void browse.show(state).then(actions.draw));
  return {
    element,
    show(params) {
      state = parseState(params);
      filters.show(state.filter);
      void browse.show(state).then(actions.draw);
    },
    stop() {
      unlistenJobs();
      actions.stop();
      large?.close();
      browse.destroy();
    },
  };

  function open(ids, at, known) {
    const choose = ({ id }) => {
      selection.toggle(id);
      large?.refresh();
    };
    large = viewer({
      ids, at, known,
      actions: (image) => [
        { label: "More like this", icon: "similar", key: "s", run: similar },
        { label: "Select", icon: "check", key: "x", pressed: selection.has(image.id), run: choose },
      ],
      moved: () => {},
      closed: (last) => {
        large = null;
        if (last >= 0) browse.grid.goTo(last);
      },
    });
  }

  /** Tags or metadata have changed: names of tags in the filters, and the records of the images. */
  async function changed(ids) {
    const before = library.images;
    browse.forget(ids);
    await library.reload();
    if (library.images !== before) await browse.show(state); // changed elsewhere too
  }

  async function removed() {
    await library.reload();
    await browse.show(state);
    actions.draw();
    browse.grid.goTo(Math.min(browse.grid.active, browse.grid.images.count - 1));
  }
}
