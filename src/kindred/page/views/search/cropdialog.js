/** The dialog in which a part of a query image is chosen. */

import { createCropper } from "../../lib/cropper.js";
import { h } from "../../lib/dom.js";
import { openDialog } from "../../lib/dialog.js";
import { icon } from "../../lib/icons.js";
import { toastError } from "../../lib/toast.js";

/**
 * @param {import("../../app.js").Context} context
 * @param {import("./state.js").QueryImage} image
 * @returns {Promise<number[] | null | undefined>} the box in pixels of the upright image; null: the whole image;
 *   undefined: dismissed
 */
export async function openCropDialog(context, image) {
  let size;
  try {
    size = await sizeOf(context, image);
  } catch (error) {
    toastError(error);
    return undefined;
  }
  const cropper = createCropper({ ...size, box: image.box });
  const tool = (label, name, run) => h("button", { class: "button button-small", type: "button", on: { click: run } }, icon(name), label);
  const tools = h("div", { class: "row crop-tools" }, tool("Smaller", "zoomout", () => cropper.scale(0.85)),
    tool("Larger", "zoomin", () => cropper.scale(1 / 0.85)), tool("Whole image", "fit", () => cropper.whole()));
  const hint = h("p", { class: "soft small" }, "Drag the box or its handles, or draw a new one.", h("span", { class: "for-keys" }, " Keys: arrows move it, Shift and arrows resize it."));
  const dialog = openDialog({
    title: "Search for a part", wide: true, content: [cropper.element, tools, hint],
    actions: [{ label: "Cancel", value: "" }, { label: "Search for this part", value: "use", kind: "primary" }],
  });
  cropper.focus();
  return (await dialog.closed) === "use" ? cropper.box() : undefined;
}

/** The address of a large thumbnail, and the size of the upright original in pixels. */
async function sizeOf({ api }, { kind, id }) {
  if (kind === "image") {
    const { width, height } = await api.get(`/images/${encodeURIComponent(id)}`);
    return { src: api.thumbnail(id, 1600), width, height };
  }
  const { width, height } = await api.get(`/uploads/${encodeURIComponent(id)}`);
  return { src: api.uploadThumbnail(id, 1600), width, height };
}
