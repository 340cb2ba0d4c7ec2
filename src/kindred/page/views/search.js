/** Search: the images of the library, and those that show the same thing as an image. */

import { fill, h } from "../lib/dom.js";

/** @type {import("./table.js").Mount} */
export async function mount(root, { api, viewer }) {
  const { images, total } = await api.get("/images", { params: { limit: 200 } });
  const open = (at) => viewer({ items: images, at });
  fill(root, h("h1", null, `${total} images`), h("div", { class: "chips" }, images.map(({ id, path }, at) =>
    h("button", { class: "button", type: "button", "aria-label": path, on: { click: () => open(at) } },
      h("img", { src: api.thumbnail(id, 128), alt: "", loading: "lazy", width: 128 })))));
  return () => {};
}
