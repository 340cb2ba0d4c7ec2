/** The images of a group as cards with their facts; those that differ are marked. */

import { fill, h, isolated } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { folderOf, nameOf, thumbnailSize } from "../../lib/images.js";
import { menuButton } from "../../lib/menu.js";
import { printable } from "../../lib/text.js";
import { bytesText } from "../../lib/units.js";
import { factsOf, formatOf, relationText } from "./facts.js";
import { cardsOf } from "./groups.js";

/**
 * @typedef {import("./groups.js").Group} Group
 * @typedef {import("./groups.js").Member} Member
 * @typedef {{compare: (card: number) => void, keep: (card: number) => void, apart: (card: number) => void, open: (card: number) => void,
 *   similar: (image: Member) => void}} Actions
 */

/**
 * @param {import("../../app.js").Context} context
 * @param {Actions} actions
 */
export function createCards({ api, library }, actions) {
  const element = h("ol", { class: "cards", "aria-label": "Images of this group" });
  /** @type {{element: HTMLElement, thumb: HTMLElement, keep: HTMLElement, beside: HTMLElement, images: Member[]}[]} */
  let cards = [];
  return { element, show, mark, companions };

  /** @param {Group} group */
  function show(group) {
    const shots = cardsOf(group);
    const facts = factsOf(shots.map(([image]) => image));
    cards = shots.map((images, at) => card(images, facts[at], at, shots.length));
    element.dataset.count = String(Math.min(cards.length, 4));
    fill(element, cards.map((each) => each.element));
  }

  /**
   * Mark which cards are kept and which two are compared.
   * @param {Set<number>} kept @param {number[]} compared
   */
  function mark(kept, compared) {
    cards.forEach((each, at) => {
      each.element.classList.toggle("card-kept", kept.has(at));
      each.keep.setAttribute("aria-pressed", String(kept.has(at)));
      each.thumb.setAttribute("aria-pressed", String(compared.includes(at)));
      const side = compared.indexOf(at);
      each.thumb.dataset.side = side < 0 ? "" : "AB"[side];
    });
  }

  /** Add the files that belong to the images, which are known later. @param {Member[]} images */
  function companions(images) {
    const found = new Map(images.map(({ id, companions: files }) => [id, files]));
    for (const each of cards) {
      const own = each.images.map(({ path }) => path);
      const files = [...new Set(each.images.flatMap(({ id }) => found.get(id) ?? []))].filter((path) => !own.includes(path));
      fill(each.beside, files.length > 0 && ["With it: ", files.map((path, at) => [at > 0 && ", ", isolated(nameOf(path))])]);
      each.beside.title = files.map(printable).join("\n");
      each.beside.hidden = files.length === 0;
    }
  }

  function card(images, facts, at, total) {
    const [image, ...others] = images;
    const name = nameOf(image.path);
    const number = at + 1;
    const thumb = h("button", { class: "card-thumb", type: "button", "aria-label": `Compare image ${number}, ${name}`, "aria-pressed": "false", on: { click: () => actions.compare(at), dblclick: () => actions.open(at) } },
      h("img", { src: api.thumbnail(image.id, thumbnailSize(200)), alt: "", draggable: "false", decoding: "async" }),
      h("span", { class: "card-number numbers", "aria-hidden": "true" }, String(number)));
    const keep = h("button", { class: "button button-small card-keep", type: "button", "aria-pressed": "false", "aria-label": `Keep image ${number}`, on: { click: () => actions.keep(at) } },
      icon("check"), h("span", null, "Keep"));
    const more = menuButton({
      label: `More about image ${number}`, icon: "more",
      items: () => [
        { label: "Show large", icon: "zoomin", run: () => actions.open(at) },
        { label: "More like this", icon: "similar", run: () => actions.similar(image) },
        total > 2 && !library.read_only && { label: "Not the same as the others", icon: "close", run: () => actions.apart(at) },
        { label: "Download", icon: "download", run: () => api.follow(api.file(image.id), name) },
      ],
    });
    const beside = h("p", { class: "card-note", hidden: true });
    const relation = relationText(image);
    const body = h("div", { class: "card-body" },
      h("div", { class: "card-head" }, h("h3", { class: "card-name clip", title: image.path }, isolated(name)), more),
      h("dl", { class: "card-facts" }, facts.map(({ label, text, differs, best }) => h("div", { class: [differs ? "differs" : "agrees", best && "best"] },
        h("dt", null, label), h("dd", { title: label === "Folder" ? folderOf(image.path) : text }, h("span", { class: label === "Folder" && "clip" }, text), best && h("span", { class: "card-best" }, best))))),
      relation && h("p", { class: "card-note" }, relation),
      others.length > 0 && h("p", { class: "card-note card-shot" }, icon("duplicates"), `${[image, ...others].map(({ path }) => formatOf(path)).join(" + ")}: `,
        others.map(({ path, size }, place) => [place > 0 && "; ", isolated(nameOf(path)), size ? `, ${bytesText(size)}` : ""])),
      beside,
      image.missing && h("p", { class: "card-note card-missing" }, icon("warning"), "The file is not there now"),
      image.tags.length > 0 && h("ul", { class: "chips card-tags", "aria-label": "Tags" }, image.tags.map((tag) => h("li", { class: "chip" }, h("span", { class: "clip" }, tag)))));
    const item = h("li", { class: "card" }, h("div", { class: "card-side" }, thumb, !library.read_only && keep), body);
    return { element: item, thumb, keep, beside, images };
  }
}
