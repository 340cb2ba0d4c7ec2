/** Adding images by drop or choice, with the progress of each. */

import { announce } from "../../lib/announce.js";
import { fill, h, isTouch, suggestions, uid } from "../../lib/dom.js";
import { icon } from "../../lib/icons.js";
import { count } from "../../lib/images.js";
import { toastError } from "../../lib/toast.js";
import { bytesText } from "../../lib/units.js";
import { droppedFiles, uploadQueue } from "../../lib/uploadqueue.js";

const ROWS = 60; // files shown at a time; those that need a look come first
const SIGNS = { added: "check", present: "check", refused: "warning", failed: "warning" };
const ORDER = ["failed", "refused", "storing", "sending", "waiting", "present", "added"];

/**
 * @param {import("../../app.js").Context} context
 * @param {{added: () => void}} options called when all has been added
 */
export function createAdding({ api, library, router }, { added }) {
  const queue = uploadQueue(api);
  const ended = new AbortController();
  const input = h("input", { type: "file", accept: "image/*,.heic,.heif,.jxl,.tif,.tiff,.dng,.cr2,.cr3,.nef,.arw,.orf,.raf,.rw2", multiple: true, hidden: true, "aria-label": "Choose images to add", on: { change: chosen } });
  const id = uid("tags");
  const names = suggestions(`${id}-list`, Object.keys(library.tags));
  const tags = h("input", { class: "input", id, list: names.id, placeholder: "none", autocomplete: "off", maxlength: 200, value: queue.tags.join(", "), on: { change: () => { queue.tags = listed(tags.value); } } });
  const choose = h("button", { class: "button button-primary", type: "button", on: { click: () => input.click() } }, icon("plus"), "Choose images");
  const zone = h("div", { class: "drop-zone" }, h("div", { class: "drop-sign" }, icon("upload")),
    h("div", null, h("h2", { id: "adding-title" }, "Add images"),
      h("p", { class: "soft small" }, `${isTouch() ? "Choose images." : "Drop images or folders here."} They are copied into the library.`)), choose, input,
    h("div", { class: "drop-tags" }, h("label", { for: id, class: "small" }, "Tag them with"), tags, names));
  const status = h("div", { class: "adding-status" });
  const list = h("ul", { class: "adding-list" });
  const element = h("section", { class: "panel card adding", "aria-labelledby": "adding-title" }, zone, status, list);
  let wasBusy = queue.busy;
  let frame = 0;
  const unlisten = queue.listen(changed);
  listenToDrops();
  draw();
  return {
    element,
    stop() {
      ended.abort();
      unlisten();
      cancelAnimationFrame(frame);
    },
  };

  function chosen() {
    const files = [...input.files];
    input.value = "";
    take(files);
  }

  function take(files) {
    if (files.length === 0) return;
    queue.tags = listed(tags.value);
    announce(`Adding ${count(files.length, "file")}`);
    queue.add(files);
  }

  /** Files can be dropped anywhere on the view. */
  function listenToDrops() {
    let depth = 0;
    const over = (on) => element.classList.toggle("adding-over", on);
    const on = (name, listener) => addEventListener(name, (event) => {
      if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
      event.preventDefault();
      listener(event);
    }, { signal: ended.signal });
    on("dragenter", () => { depth += 1; over(true); });
    on("dragleave", () => { depth = Math.max(0, depth - 1); if (depth === 0) over(false); });
    on("dragover", (event) => { event.dataTransfer.dropEffect = "copy"; });
    on("drop", async ({ dataTransfer }) => {
      depth = 0;
      over(false);
      try {
        take(await droppedFiles(dataTransfer));
      } catch (error) {
        toastError(error);
      }
    });
  }

  function changed() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
    if (wasBusy && !queue.busy) finished();
    wasBusy = queue.busy;
  }

  function finished() {
    announce(summary(queue.counts));
    added();
  }

  function draw() {
    const { counts, items } = queue;
    const total = items.length;
    const rest = counts.waiting + counts.sending + counts.storing;
    status.hidden = total === 0;
    fill(status, rest > 0 && meter(total - rest, total), h("p", { class: "numbers" }, summary(counts)), h("div", { class: "row" },
      counts.failed > 0 && button("Try again", () => queue.retry()),
      rest > 0 ? button("Cancel", () => queue.cancel()) : total > 0 && button("Clear the list", () => queue.clear()),
      counts.added > 0 && rest === 0 && h("a", { class: "button button-small", href: router.href("manage", { part: "images", sort: "added" }) }, "Show them")));
    const shown = [...items].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state)).slice(0, ROWS);
    fill(list, shown.map(row), total > ROWS && h("li", { class: "soft small" }, `and ${(total - ROWS).toLocaleString()} more`));
  }

  function button(label, run) {
    return h("button", { class: "button button-small", type: "button", on: { click: run } }, label);
  }
}

function row({ name, size, sent, state, reason }) {
  const words = { waiting: "waiting", sending: `${bytesText(sent)} of ${bytesText(size)}`, storing: "describing …", added: "added", present: "in the library already", refused: reason, failed: reason }[state];
  return h("li", { class: ["adding-file", `adding-${state}`] },
    SIGNS[state] ? icon(SIGNS[state]) : h("span", { class: "adding-dot" }),
    h("span", { class: "clip", title: name }, name),
    h("span", { class: "adding-words small numbers" }, words),
    (state === "sending" || state === "storing") && h("div", { class: ["meter", state === "storing" && "meter-unknown"], style: { "--done": `${size ? (sent / size) * 100 : 0}%` } }, h("i")));
}

function meter(done, total) {
  const share = total ? (done / total) * 100 : 0;
  return h("div", { class: "meter", role: "progressbar", "aria-label": "Images added", "aria-valuemin": 0, "aria-valuemax": total, "aria-valuenow": done, style: { "--done": `${share}%` } }, h("i"));
}

/** "12 images added · 3 were in the library already · 2 could not be used" */
function summary({ waiting, sending, storing, added, present, refused, failed }) {
  const rest = waiting + sending + storing;
  return [
    rest > 0 && `${count(rest, "file")} to go`,
    added > 0 && `${count(added, "image")} added`,
    present > 0 && `${present.toLocaleString()} ${present === 1 ? "was" : "were"} in the library already`,
    refused > 0 && `${refused.toLocaleString()} could not be used`,
    failed > 0 && `${failed.toLocaleString()} could not be sent`,
  ].filter(Boolean).join(" · ");
}

function listed(text) {
  return [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
}
