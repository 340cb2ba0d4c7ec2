/** Searches that were saved in the library, and saving the present one. */

import { askText } from "../../lib/dialog.js";
import { fill, h, isolated } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { panelButton } from "../../lib/menu.js";
import { toast, toastError } from "../../lib/toast.js";

const KEPT = ["q", "right", "wrong", "folder", "tag", "from", "to", "where", "sort", "rerank", "line", "regions", "nocopies"];

/**
 * @param {import("../../app.js").Context} context
 * @param {() => boolean} canSave whether there is a search now
 */
export function createSaved({ api, library, router }, canSave) {
  const button = panelButton({ label: "Saved searches", icon: "save", text: "Saved", content });
  return { button };

  function content(close) {
    const list = h("ul", { class: "saved-list", "aria-label": "Saved searches" }, h("li", { class: "soft small" }, "Loading …"));
    void draw(list, close);
    return h("div", { class: "stack" }, h("h3", null, "Saved searches"), list,
      !library.read_only && h("button", { class: "button", type: "button", disabled: !canSave(), on: { click: () => { close(); void save(); } } }, icon("plus"), "Save this search"));
  }

  async function draw(list, close) {
    try {
      const { saved } = await api.get("/saved");
      fill(list, saved.length === 0 && h("li", { class: "soft small" }, "None yet."), saved.map((each) => h("li", { class: "saved-item" },
        h("a", { class: "menu-item", href: router.href("search", new URLSearchParams(each.search.address ?? "")), on: { click: close } }, icon("search"), h("span", { class: "clip" }, each.name)),
        !library.read_only && h("button", { class: "icon-button", type: "button", "aria-label": `Remove the saved search ${each.name}`, on: { click: () => void remove(each, list, close) } }, icon("trash")))));
    } catch (error) {
      fill(list, h("li", { class: "small" }, error.message));
    }
  }

  async function save() {
    const name = await askText({ title: "Save this search", label: "Name", action: "Save" });
    if (!name) return;
    const { params } = router.current();
    const address = new URLSearchParams([...params].filter(([key]) => KEPT.includes(key)));
    try {
      await api.post("/saved", { name, search: { address: address.toString() } });
      toast(["Saved as “", isolated(name), "”."], { kind: "good" });
    } catch (error) {
      toastError(error);
    }
  }

  async function remove(each, list, close) {
    try {
      await api.del(`/saved/${encodeURIComponent(each.id)}`);
      await draw(list, close);
      list.querySelector("a, button")?.focus();
    } catch (error) {
      toastError(error);
    }
  }
}
