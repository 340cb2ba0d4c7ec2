/**
 * The images that are searched for: a place to drop them, and each of them with what can be done with it.
 *
 * @typedef {import("./state.js").QueryImage} QueryImage
 */

import { fill, h, isTouch } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { openCropDialog } from "./cropdialog.js";

/**
 * @param {import("../../app.js").Context} context
 * @param {{choose: () => void, photograph: () => void, change: (query: QueryImage[]) => void}} options
 */
export function createQueryBar(context, { choose, photograph, change }) {
  const { api } = context;
  const images = h("ul", { class: "query-images", "aria-label": "Images searched for" });
  const pending = h("li", { class: "query-image query-pending", hidden: true }, h("div", { class: "busy" }), h("span", { class: "visually-hidden" }, "Sending"));
  const invitation = h("div", { class: "invitation" },
    h("div", { class: "invitation-sign" }, icon("image")),
    h("div", null, h("h1", null, "Find an image, or what it shows"),
      h("p", { class: "soft" }, `${isTouch() ? "Choose or photograph one." : "Drop or paste one here."} Or press “More like this” on any image below.`)));
  const buttons = h("div", { class: "query-buttons" },
    h("button", { class: "button button-primary", type: "button", on: { click: choose } }, icon("upload"), h("span", null, "Choose an image")),
    h("button", { class: "button", type: "button", on: { click: photograph } }, icon("camera"), h("span", null, "Camera")));
  const drop = h("p", { class: "drop-note", "aria-hidden": "true" }, icon("download"), "Drop to search");
  const element = h("section", { class: "query", "aria-label": "Search by image" }, invitation, images, buttons, drop);
  /** @type {QueryImage[]} */
  let query = [];
  let drawn = "";

  return {
    element,
    /** Show these query images. @param {QueryImage[]} now */
    show(now) {
      const held = document.activeElement?.closest(".query-image")?.dataset.place;
      query = now;
      if (JSON.stringify(now) === drawn) return;
      drawn = JSON.stringify(now);
      element.classList.toggle("query-empty", now.length === 0);
      invitation.hidden = now.length > 0;
      images.hidden = now.length === 0 && pending.hidden;
      fill(images, now.map(item), pending);
      const first = buttons.firstChild;
      fill(first, icon(now.length > 0 ? "plus" : "upload"), h("span", null, now.length > 0 ? "Add an image" : "Choose an image"));
      first.classList.toggle("button-primary", now.length === 0);
      if (held !== undefined) (images.querySelector(`[data-place="${held}"] button`) ?? first).focus();
    },
    /** @param {number} count of uploads that are running */
    busy(count) {
      pending.hidden = count <= 0;
      images.hidden = query.length === 0 && pending.hidden;
      if (!pending.isConnected) images.append(pending);
    },
    /** @param {boolean} dragging */
    over(dragging) {
      element.classList.toggle("query-over", dragging);
    },
  };

  function item(image, place) {
    const { wanted, box } = image;
    const label = `Image ${place + 1} searched for`;
    const several = query.length > 1;
    const picture = h("img", { alt: label, src: source(image, 256) });
    // The thumbnail of an upload is gone when the server has forgotten it.
    picture.addEventListener("error", () => picture.closest("li")?.classList.add("query-lost"), { once: true });
    const replace = (now) => change(query.map((each, at) => (at === place ? now : each)).filter(Boolean));
    const crop = async () => {
      const chosen = await openCropDialog(context, image);
      if (chosen !== undefined) replace({ ...image, box: chosen });
    };
    const flip = () => replace({ ...image, wanted: !wanted });
    const tool = (text, name, run, more = {}) =>
      h("button", { class: "icon-button", type: "button", "aria-label": `${text}: ${label}`, title: text, on: { click: run }, ...more }, icon(name));
    return h("li", { class: ["query-image", !wanted && "query-unwanted"], data: { place } },
      h("div", { class: "query-picture" }, picture, !wanted && h("span", { class: "query-sign" }, icon("minus"), "Not this"),
        wanted && box && h("span", { class: "query-sign" }, icon("crop"), "Part")),
      h("div", { class: "query-tools" },
        tool(box ? "Change the part" : "Search for a part", "crop", crop, { "aria-pressed": String(Boolean(box)) }),
        (several || !wanted) && tool(wanted ? "Not wanted" : "Wanted", wanted ? "minus" : "plus", flip),
        tool("Remove", "close", () => replace(null))));
  }

  function source({ kind, id }, size) {
    return kind === "upload" ? api.uploadThumbnail(id, size) : api.thumbnail(id, size);
  }
}
