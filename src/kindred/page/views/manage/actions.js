/** The bar of what can be done with the selected images: tag, metadata, search, export, remove. */

import { announce } from "../../lib/announce.js";
import { confirmed } from "../../lib/dialog.js";
import { h, isTouch } from "../../lib/dom.js";
import { exportImages } from "../../lib/export.js";
import { icon } from "../../lib/icons.js";
import { count } from "../../lib/images.js";
import { menuButton } from "../../lib/menu.js";
import { toast, toastError } from "../../lib/toast.js";
import { similarParams } from "../search/state.js";
import { openMetadata } from "./metadata.js";
import { openTagging } from "./tagging.js";

const MOST_QUERIES = 8;
const FORMATS = [["csv", "Table (CSV)"], ["json", "Records (JSON)"], ["zip", "Image files (zip)"]];

/**
 * @param {import("../../app.js").Context} context
 * @param {{selection: import("../../lib/selection.js").Selection, jobs: import("./jobs.js").Jobs, order: () => ArrayLike<string>,
 *   changed: (ids: string[]) => Promise<void>, removed: () => Promise<void>}} options order: the ids as they are shown
 */
export function createActions(context, { selection, jobs, order, changed, removed }) {
  const { api, library, router } = context;
  const text = h("p", { class: "selection-text numbers", role: "status" });
  const button = (label, sign, run) => h("button", { class: "button button-small", type: "button", title: label, on: { click: run } }, icon(sign), h("span", null, label));
  const clear = h("button", { class: "icon-button", type: "button", "aria-label": "Select nothing", title: "Select nothing", on: { click: cleared } }, icon("close"));
  const all = h("button", { class: "button button-quiet button-small", type: "button", on: { click: selectAll } }, "Select all");
  const search = button("Search", "search", searchFor);
  const exports = menuButton({ label: "Export", icon: "download", text: "Export", class: "button button-small", items: () => FORMATS.map(([format, label]) => ({ label, run: () => void exported(format) })) });
  const editing = library.read_only ? [] : [button("Tags", "tag", () => void tagged()), button("Metadata", "info", () => void described())];
  const remove = !library.read_only && button("Remove", "trash", () => void asked());
  const tools = h("div", { class: "selection-tools" }, editing, search, exports, remove);
  const element = h("div", { class: "selection-bar", role: "region", "aria-label": "Selected images" }, clear, text, all, tools);
  const hint = isTouch() ? "Press an image for a moment to select it" : "Select with the mark over an image, or with Space; Shift selects a range";
  const watcher = new ResizeObserver(cover);
  watcher.observe(element);
  const unlisten = selection.listen(draw);
  draw();
  return {
    element,
    draw,
    stop() {
      unlisten();
      watcher.disconnect();
      document.documentElement.style.removeProperty("--covered");
    },
  };

  /** The bar always takes the same room, so that nothing moves when the first image is selected. */
  function draw() {
    const some = selection.size > 0;
    const shown = order().length;
    element.classList.toggle("selection-some", some);
    element.hidden = !some && shown === 0;
    clear.hidden = !some;
    tools.hidden = !some;
    text.textContent = some ? `${selection.size.toLocaleString()} selected` : hint;
    all.hidden = shown === 0 || selection.size >= shown;
    all.textContent = `Select all ${shown.toLocaleString()}`;
    search.disabled = selection.size > MOST_QUERIES;
    search.title = search.disabled ? `Search for at most ${MOST_QUERIES} images at once` : "Search";
    cover();
  }

  /** The grid keeps what has the focus out from under the bar. */
  function cover() {
    const style = document.documentElement.style;
    if (selection.size === 0) return style.removeProperty("--covered");
    const bar = Number.parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--bar"));
    style.setProperty("--covered", `${bar + element.offsetHeight + 12}px`);
  }

  function selectAll() {
    selection.add(Array.from(order()));
    announce(`${count(selection.size, "image")} selected`);
    // The button that had the focus is gone.
    clear.focus();
  }

  function cleared() {
    selection.clear();
    all.focus();
  }

  /** The selected ids in the order in which they are shown; those that are not shown come last. */
  function ids() {
    const shown = Array.from(order()).filter((id) => selection.has(id));
    const rest = new Set(selection.ids);
    for (const id of shown) rest.delete(id);
    return [...shown, ...rest];
  }

  function searchFor() {
    router.go("search", similarParams(...ids()));
  }

  async function tagged() {
    const some = ids();
    if (await openTagging(context, some)) await changed(some);
  }

  async function described() {
    const some = ids();
    if (await openMetadata(context, some)) await changed(some);
  }

  async function exported(format) {
    if (await exportImages(api, ids(), format)) announce(`Exporting ${count(selection.size, "image")}`);
  }

  async function asked() {
    const some = ids();
    const what = some.length === 1 ? "this image" : `these ${some.length.toLocaleString()} images`;
    const yes = await confirmed({
      title: `Remove ${what} from the library?`, action: "Remove", danger: true,
      text: `${some.length === 1 ? "Its file stays" : "Their files stay"} on the disk. Tags and metadata are removed too. The last 20 removals can be undone, below.`,
    });
    if (yes) await removedNow(some);
  }

  async function removedNow(some) {
    try {
      const { removed: number, undo } = await api.post("/images/remove", { ids: some });
      selection.drop(some);
      await removed();
      const action = undo && { label: "Undo", run: () => void undone(undo) };
      toast(`${count(number, "image")} removed from the library.`, { kind: "good", seconds: 20, action });
    } catch (error) {
      toastError(error);
    }
  }

  async function undone(undo) {
    try {
      jobs.add(await api.post(`/removals/${undo}/undo`, {}));
    } catch (error) {
      toastError(error);
    }
  }
}
