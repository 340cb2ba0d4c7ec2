/**
 * The large view of images: zoom by wheel, pinch, double press or keys, pan, next and previous, facts, tags, download.
 *
 * @typedef {import("./images.js").Image} Image
 * @typedef {{label: string, icon: string, pressed?: boolean, key?: string, run: (image: Image) => void}} Action
 * @typedef {{
 *   ids: ArrayLike<string>,
 *   at?: number,
 *   known?: (id: string) => Image | undefined,
 *   actions?: (image: Image) => Action[],
 *   moved?: (at: number, id: string) => void,
 *   closed?: (at: number, id: string) => void,
 * }} What the images to go through, and the first; known: facts that need not be fetched; actions: more buttons
 */

import { announce } from "./announce.js";
import { fill, h, isolated, svg } from "./dom.js";
import { icon } from "./icons.js";
import { dateText, folderOf, isPart, nameOf, pathText, percent, sizeText } from "./images.js";
import { closeButton, present } from "./layers.js";
import { tagEditor } from "./tags.js";
import { Zoom } from "./zoom.js";

const LARGE = 1600;
const SHOWN_BY_BROWSERS = /\.(jpe?g|png|webp|gif|avif|bmp)$/i;
const NARROW = matchMedia("(max-width: 760px)");
const FACTS = "kindred.facts"; // Whether the facts beside the image are open.

/**
 * @param {import("../app.js").Context} context
 * @param {What} what
 * @returns {{close: () => void, refresh: () => void, closed: Promise<string>}}
 */
export function openViewer(context, what) {
  const viewer = new Viewer(context, what);
  return { close: () => viewer.dialog.close(), refresh: () => viewer.drawActions(), closed: viewer.closed };
}

class Viewer {
  constructor(context, what) {
    Object.assign(this, { context, what, at: what.at ?? 0, turn: 0 });
    this.build();
    this.closed = present(this.dialog);
    void this.closed.then(() => {
      this.ended = true;
      NARROW.removeEventListener("change", this.arrange);
      what.closed?.(this.at, what.ids[this.at]);
    });
    void this.show(this.at);
  }

  build() {
    const button = (label, name, run, more) =>
      h("button", { class: ["icon-button", more], type: "button", "aria-label": label, title: label, on: { click: run } }, icon(name));
    this.picture = h("div", { class: "picture" });
    this.stage = h("div", { class: "stage", tabindex: -1, autofocus: true }, this.picture);
    this.name = h("h2", { class: "viewer-name clip", id: "viewer-name" });
    this.actions = h("div", { class: "viewer-actions" });
    this.facts = h("aside", { class: "viewer-facts", "aria-label": "About this image" });
    this.out = button("Zoom out", "zoomout", () => this.zoom.zoomOut());
    this.in = button("Zoom in", "zoomin", () => this.zoom.zoomIn());
    this.info = button("About this image", "info", () => this.toggleFacts());
    this.before = button("Previous image", "left", () => this.move(-1), "viewer-turn viewer-previous");
    this.after = button("Next image", "right", () => this.move(1), "viewer-turn viewer-next");
    this.stage.append(this.before, this.after);
    this.dialog = h("dialog", { class: "viewer", "aria-labelledby": "viewer-name", on: { keydown: (event) => this.keydown(event) } },
      h("div", { class: "viewer-bar" }, closeButton(() => this.dialog.close(), icon("close"), "Close the image"), this.name,
        this.actions, h("div", { class: "viewer-zoom" }, this.out, this.in), this.info),
      this.stage, this.facts);
    this.arrange();
    NARROW.addEventListener("change", this.arrange);
    this.zoom = new Zoom(this.stage, this.picture, {
      turn: (by) => this.move(by),
      dismiss: () => this.dialog.close(),
      changed: (scale) => this.zoomed(scale),
    });
    this.setFacts(remembered() ?? innerWidth > 1000);
  }

  /** On a phone the actions are at the thumb, below the image. */
  arrange = () => {
    if (NARROW.matches) this.stage.after(this.actions);
    else this.name.after(this.actions);
  };

  /** Show the image at a place; its thumbnail at once, then larger. */
  async show(at) {
    const { what, context } = this;
    const id = what.ids[at];
    this.at = at;
    this.turn += 1;
    const mine = this.turn;
    this.before.disabled = at <= 0;
    this.after.disabled = at >= what.ids.length - 1;
    const known = what.known?.(id);
    if (known) this.place(known);
    else this.clear();
    let image = known;
    if (!known || known.frames === undefined) {
      try {
        image = { ...(known ?? {}), ...(await context.api.get(`/images/${encodeURIComponent(id)}`)) };
      } catch (error) {
        if (mine === this.turn) this.missing(error);
        return;
      }
    }
    if (mine !== this.turn || this.ended) return;
    if (!known) this.place(image);
    this.image = image;
    this.drawActions();
    this.drawFacts();
    announce(`${nameOf(image.path)}, ${at + 1} of ${what.ids.length}`);
    this.preload(at + 1);
    this.preload(at - 1);
  }

  place(image) {
    const { api } = this.context;
    const name = nameOf(image.path);
    this.image = image;
    fill(this.name, isolated(name));
    this.fit(image);
    const large = h("img", { src: api.thumbnail(image.id, LARGE), alt: name, draggable: "false" });
    const small = h("img", { src: api.thumbnail(image.id, 256), alt: "", draggable: "false" });
    large.addEventListener("load", () => small.remove(), { once: true });
    large.addEventListener("error", () => void this.unseen(image), { once: true });
    fill(this.picture, small, large, outline(image));
    this.original = false;
    this.zoom.reset();
    // Up to four screen pixels for each of the image's own.
    this.zoom.most = Math.max(4, (4 * (image.width ?? LARGE)) / Math.max(1, this.picture.offsetWidth));
  }

  /** Size the picture to the stage, before anything is loaded; small images are not blown up beyond twice. */
  fit({ width, height }) {
    const [w, h0] = [width || 4, height || 3];
    this.picture.style.setProperty("--aspect", `${w} / ${h0}`);
    this.picture.style.setProperty("--ratio", w / h0);
    this.picture.style.setProperty("--own", width ? `${Math.max(320, width * 2)}px` : "100%");
  }

  /** Beyond the thumbnail's resolution the file itself is shown, where browsers can. */
  zoomed(scale) {
    this.in.disabled = scale >= this.zoom?.most - 0.01;
    this.out.disabled = scale <= 1.01;
    const image = this.image;
    if (!image || this.original || scale < 1.4 || image.missing || !SHOWN_BY_BROWSERS.test(image.path)) return;
    if (Math.max(image.width ?? 0, image.height ?? 0) <= LARGE) return;
    this.original = true;
    const file = h("img", { src: this.context.api.file(image.id), alt: "", draggable: "false" });
    file.addEventListener("load", () => file.classList.add("loaded"), { once: true });
    file.addEventListener("error", () => file.remove(), { once: true });
    this.picture.insertBefore(file, this.picture.querySelector("svg"));
  }

  /** Show no image, so that no key or button acts on the one before. */
  clear() {
    this.image = null;
    fill(this.picture);
    fill(this.actions);
  }

  missing(error) {
    this.clear();
    const text = error.status === 404 ? "This image is no longer in the library." : error.message;
    this.name.textContent = "Not available";
    fill(this.picture, h("p", { class: "picture-missing" }, icon("warning"), text));
    fill(this.facts, h("p", null, text));
    announce(text);
  }

  /** Say why an image is not seen: it is no longer in the library, or its file cannot be read. */
  async unseen({ id }) {
    const mine = this.turn;
    const { api } = this.context;
    let text = "The file of this image cannot be read.";
    try {
      const { missing } = await api.get(`/images/${encodeURIComponent(id)}`);
      if (missing) text = "The file of this image is not there now.";
    } catch (error) {
      if (mine === this.turn && !this.ended) this.missing(error);
      return;
    }
    if (mine === this.turn && !this.ended) fill(this.picture, h("p", { class: "picture-missing" }, icon("warning"), text));
  }

  drawActions() {
    const { image, context, what } = this;
    if (!image) return;
    const held = this.actions.contains(document.activeElement) ? document.activeElement.dataset.label : null;
    const own = what.actions?.(image) ?? [];
    fill(this.actions, own.map(({ label, icon: sign, pressed, run }) =>
      h("button", { class: "button button-small", type: "button", "aria-label": label, title: label, "aria-pressed": pressed, data: { label }, on: { click: () => run(image) } },
        icon(sign), h("span", null, label))),
    h("a", { class: "icon-button", href: context.api.file(image.id), download: nameOf(image.path), "aria-label": "Download", title: "Download" }, icon("download")));
    if (held) this.actions.querySelector(`[data-label="${CSS.escape(held)}"]`)?.focus();
  }

  drawFacts() {
    const { image } = this;
    const rows = [
      ["Taken", dateText(image.taken, { time: true })],
      ["Size", sizeText(image)],
      ["Folder", pathText(folderOf(image.path))],
      ["Frames", image.frames > 1 ? image.frames : ""],
      ["Same thing", typeof image.probability === "number" ? percent(image.probability) : ""],
      ["Score", typeof image.score === "number" ? image.score.toFixed(4) : ""],
      ...Object.entries(image.metadata ?? {}).map(([key, value]) => [key, String(value)]),
    ];
    fill(this.facts, h("h3", null, "About this image"),
      image.missing && h("p", { class: "chip chip-bad" }, icon("warning"), "The file is not there now"),
      h("dl", { class: "facts" }, rows.filter(([, text]) => text !== "").map(([key, text]) => [h("dt", null, key), h("dd", null, text)])),
      h("h3", null, "Tags"), tagEditor(this.context, image));
  }

  toggleFacts() {
    this.setFacts(this.facts.hidden);
    try {
      localStorage.setItem(FACTS, this.facts.hidden ? "closed" : "open");
    } catch {
      // Storage may be blocked; then it is not remembered.
    }
    if (this.image) this.zoom.reset();
  }

  setFacts(open) {
    this.facts.hidden = !open;
    this.info.setAttribute("aria-pressed", String(open));
    this.dialog.classList.toggle("with-facts", open);
  }

  move(by) {
    const next = this.at + by;
    if (next < 0 || next >= this.what.ids.length) return;
    this.what.moved?.(next, this.what.ids[next]);
    void this.show(next);
  }

  preload(at) {
    const id = this.what.ids[at];
    if (id !== undefined) new Image().src = this.context.api.thumbnail(id, LARGE);
  }

  keydown(event) {
    if (event.target.closest("input, textarea, select") || event.altKey || event.ctrlKey || event.metaKey) return;
    const action = ((this.image && this.what.actions?.(this.image)) ?? []).find(({ key }) => key === event.key);
    if (action) action.run(this.image);
    else if (this.zoom.key(event)) {
      // Zoomed or panned.
    } else if (event.key === "ArrowLeft" || event.key === "PageUp") this.move(-1);
    else if (event.key === "ArrowRight" || event.key === "PageDown") this.move(1);
    else if (event.key === "Home") this.move(-this.at);
    else if (event.key === "End") this.move(this.what.ids.length - 1 - this.at);
    else if (event.key === "i") this.toggleFacts();
    else return;
    event.preventDefault();
  }
}

/** The part of the image that matched. */
function outline(image) {
  if (!isPart(image)) return null;
  const { box, width, height } = image;
  const [x0, y0, x1, y1] = box;
  const place = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
  return svg("svg", { class: "outline", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { ...place, class: "outline-under" }), svg("rect", { ...place, class: "outline-over" }));
}

function remembered() {
  try {
    const stored = localStorage.getItem(FACTS);
    return stored ? stored === "open" : null;
  } catch {
    return null;
  }
}

