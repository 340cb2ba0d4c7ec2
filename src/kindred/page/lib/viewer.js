/** The large view of an image. */

import { h } from "./dom.js";
import { openDialog } from "./dialog.js";

/**
 * Show one image large.
 * @param {import("../app.js").Context} context
 * @param {{items: {id: string, path: string}[], at: number}} what the images to go through, and which is shown
 */
export function openViewer({ api }, { items, at }) {
  const image = items[at];
  const name = image.path.split("/").at(-1);
  return openDialog({ title: name, full: true, content: h("img", { src: api.thumbnail(image.id, 1600), alt: name, class: "viewer-image" }) });
}
