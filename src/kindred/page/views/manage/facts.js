/** Facts about the library: what it contains, how it describes images, and the files it could not use. */

import { fill, h } from "../../lib/dom.js";
import { nameOf } from "../../lib/images.js";
import { skippedList } from "../../lib/jobs.js";
import { toastError } from "../../lib/toast.js";
import { bytesText } from "../../lib/units.js";

const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const MOST_SKIPPED = 5000; // files listed on the page

/** Methods as the field writes them. */
const NAMES = { gem: "GeM", rgem: "rGeM", rmac: "R-MAC", spoc: "SPoC", crow: "CroW", vlad: "VLAD", netvlad: "NetVLAD", fisher: "Fisher vectors", bow: "visual words", asmk: "ASMK", sift: "SIFT", cosine: "cosine similarity" };
const named = (method) => NAMES[method] ?? method;

/** @param {import("../../app.js").Context} context */
export function createFacts({ api, library, router }) {
  const contains = h("dl", { class: "facts" });
  const describes = h("dl", { class: "facts" });
  const skips = skippedList();
  const numbers = h("div", { class: "numbers-row" });
  let files = null;
  let listed = -1;
  skips.element.addEventListener("toggle", () => skips.element.open && void list());
  const element = h("aside", { class: "overview-side" },
    h("section", { class: "panel card", "aria-labelledby": "facts-contains" }, h("h2", { id: "facts-contains" }, "This library"), numbers, contains, skips.element),
    h("section", { class: "panel card", "aria-labelledby": "facts-describes" }, h("h2", { id: "facts-describes" }, "How images are compared"), describes));
  return { element, draw };

  function draw() {
    const { images, skipped, bytes, last_run: last, metadata, tags, name, recipe } = library;
    fill(numbers, number(images, "image"), number(Object.keys(tags).length, "tag"), number(Object.keys(metadata).length, "metadata field"));
    rows(contains, [
      ["Name", name],
      ["On disk", `${bytesText(bytes)}, without the images`],
      ["Last updated", last ? WHEN.format(new Date(last)) : images > 0 ? "no update has finished" : "never"],
    ]);
    rows(describes, [
      ["Recipe", recipe.name],
      ["", recipe.description],
      ["Network", recipe.ensemble?.length > 0 ? recipe.ensemble.map((part) => nameOf(part.backbone)).join(", ") : nameOf(recipe.backbone)],
      ["Image size", recipe.size ? `${recipe.size} px` : ""],
      ["Pooling", named(recipe.embedding || recipe.pooling)],
      ["Descriptor", library.dimension ? `${library.dimension} numbers for each image${library.vectors > images ? " and region" : ""}` : "none yet"],
      ["Local features", library.local_features ? named(recipe.features || recipe.backbone) : "not stored"],
      ["Compared by", recipe.matching && library.vectors === 0 ? recipe.matching : named(recipe.similarity)],
      ["Certainty", library.calibrated ? "answers have a probability, and end" : "not calibrated: answers have a score only"],
    ]);
    if (listed !== skipped) {
      files = null;
      skips.show([], skipped);
      if (skips.element.open) void list();
    }
    listed = skipped;
  }

  function number(value, one) {
    const target = { image: "images", tag: "tags" }[one];
    const words = [h("strong", { class: "numbers" }, value.toLocaleString()), h("span", null, value === 1 ? one : `${one}s`)];
    return target ? h("a", { class: "number", href: router.href("manage", { part: target }) }, words) : h("div", { class: "number" }, words);
  }

  /** The files that could not be used, read when the list is opened. */
  async function list() {
    if (files) return;
    files = [];
    try {
      for (let after = 0; after !== null && files.length < MOST_SKIPPED;) {
        const { skipped, next } = await api.get("/library/skipped", { params: { limit: 1000, after: after || null } });
        files.push(...skipped);
        after = next;
      }
      skips.show(files, library.skipped);
    } catch (error) {
      files = null;
      toastError(error);
    }
  }
}

function rows(list, pairs) {
  fill(list, pairs.filter(([, value]) => value).map(([name, value]) => (name ? [h("dt", null, name), h("dd", null, value)] : h("dd", { class: "facts-wide soft" }, value))));
}

