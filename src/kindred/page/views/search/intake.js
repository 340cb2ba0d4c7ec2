/**
 * Images from outside: dropped, pasted, chosen or photographed. Each is sent to the server, which returns an id.
 *
 * @typedef {import("./state.js").QueryImage} QueryImage
 */

import { announce } from "../../lib/announce.js";
import { h, isTouch } from "../../lib/dom.js";
import { toast, toastError } from "../../lib/toast.js";
import { takePhoto } from "../../lib/camera.js";

/** The type under which images of the page's own grids are dragged. */
export const DRAGGED = "application/x-kindred-image";
const AT_ONCE = 8; // Query images from one drop.

/**
 * @param {import("../../app.js").Context} context
 * @param {{add: (images: QueryImage[]) => void, busy: (count: number) => void, over: (dragging: boolean) => void}} options
 *   busy: so many uploads are running; over: something that can be dropped is over the window
 */
export function createIntake({ api }, { add, busy, over }) {
  let running = 0;
  let depth = 0;
  const stop = new AbortController();
  const on = (name, listener) => addEventListener(name, listener, { signal: stop.signal });
  const input = h("input", { type: "file", accept: "image/*,.heic,.heif,.jxl,.tif,.tiff", multiple: true, hidden: true, "aria-label": "Choose images", on: { change: chosen } });
  const capture = h("input", { type: "file", accept: "image/*", capture: "environment", hidden: true, "aria-label": "Take a photo", on: { change: chosen } });

  on("dragenter", (event) => {
    if (!droppable(event) || !event.dataTransfer) return;
    depth += 1;
    over(true);
  });
  on("dragleave", (event) => {
    if (!droppable(event)) return;
    depth = Math.max(0, depth - 1);
    if (depth === 0) over(false);
  });
  on("dragend", () => {
    depth = 0;
    over(false);
  });
  on("dragover", (event) => {
    if (!droppable(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  on("drop", (event) => {
    if (!droppable(event)) return;
    event.preventDefault();
    depth = 0;
    over(false);
    const own = event.dataTransfer.getData(DRAGGED);
    if (own) add([{ kind: "image", id: own, wanted: true, box: null }]);
    else void take([...event.dataTransfer.files]);
  });
  on("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
    if (files.length === 0 || event.target.closest?.("input, textarea")) return;
    event.preventDefault();
    void take(files);
  });

  return {
    elements: [input, capture],
    choose: () => input.click(),
    photograph,
    stop: () => stop.abort(),
  };

  async function photograph() {
    // A phone's own camera is better than any page's.
    if (isTouch() || !navigator.mediaDevices?.getUserMedia) return capture.click();
    const photo = await takePhoto();
    if (photo) await take([photo]);
  }

  function chosen(event) {
    const files = [...event.target.files];
    event.target.value = "";
    void take(files);
  }

  /** Upload files; those that are no images are named and do not stop the others. */
  async function take(files) {
    if (files.length === 0) return;
    if (files.length > AT_ONCE) toast(`Only the first ${AT_ONCE} of ${files.length} images are searched for.`);
    const some = files.slice(0, AT_ONCE);
    busy(running += some.length);
    announce(some.length === 1 ? "Sending the image" : `Sending ${some.length} images`);
    const results = await Promise.all(some.map(send));
    add(results.filter(Boolean));
  }

  async function send(file) {
    try {
      const uploaded = await api.upload("/uploads", file);
      return { kind: "upload", id: uploaded.upload, wanted: true, box: null };
    } catch (error) {
      const name = file.name ? `${file.name}: ` : "";
      toastError(Object.assign(new Error(name + error.message), { hint: error.hint }));
      return null;
    } finally {
      busy(running -= 1);
    }
  }
}

function droppable(event) {
  const types = [...(event.dataTransfer?.types ?? [])];
  return types.includes("Files") || types.includes(DRAGGED);
}
