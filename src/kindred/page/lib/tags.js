/** The tags of an image, to see, add and remove. */

import { announce } from "./announce.js";
import { fill, h, suggestions, uid } from "./dom.js";
import { icon } from "./icons.js";
import { toastError } from "./toast.js";

/**
 * @param {import("../app.js").Context} context
 * @param {import("./images.js").Image} image whose tags are kept up to date
 * @param {(image: import("./images.js").Image) => void} [changed]
 * @returns {HTMLElement}
 */
export function tagEditor({ api, library }, image, changed) {
  const list = h("ul", { class: "chips", "aria-label": "Tags" });
  const id = uid("tag");
  const names = suggestions(`${id}-list`, Object.keys(library.tags ?? {}));
  const field = h("input", { id, class: "input", placeholder: "Add a tag", list: names.id, autocomplete: "off", "aria-label": "Add a tag", maxlength: 200 });
  const form = h("form", { class: "tag-form", on: { submit } }, field, names, h("button", { class: "icon-button", type: "submit", "aria-label": "Add" }, icon("plus")));
  draw();
  return h("div", { class: "tags" }, list, !library.read_only && form);

  function draw() {
    fill(list, image.tags.map((tag) => h("li", { class: ["chip", !library.read_only && "chip-remove"] }, h("span", { class: "clip" }, tag),
      !library.read_only && h("button", { type: "button", "aria-label": `Remove the tag ${tag}`, on: { click: () => change({ remove: [tag] }) } }, icon("close")))));
    list.hidden = image.tags.length === 0;
  }

  function submit(event) {
    event.preventDefault();
    const tag = field.value.trim();
    if (!tag) return;
    field.value = "";
    void change({ add: [tag] });
  }

  async function change(tags) {
    try {
      const now = await api.patch(`/images/${encodeURIComponent(image.id)}`, { tags });
      image.tags = now.tags;
      draw();
      announce(tags.add ? `Tagged ${tags.add}` : `Tag ${tags.remove} removed`);
      changed?.(image);
      void library.reload();
      if (tags.remove) field.focus();
    } catch (error) {
      toastError(error);
    }
  }
}
