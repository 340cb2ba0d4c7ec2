/**
 * A part of an image, chosen by a box with eight handles: by mouse, touch or keyboard.
 *
 * Arrow keys move the box, with Shift they resize it, with Ctrl or Command the steps are small. Where dragging is not
 * possible, a press beside the box moves it there, and the buttons make it larger or smaller (WCAG 2.5.7).
 */

import { announce } from "./announce.js";
import { boxBetween, HANDLES, isWhole, movedBox, resizedBox, rounded, scaledBox } from "./box.js";
import { h } from "./dom.js";

const HELP = "Crop box. Arrow keys move it, Shift with arrow keys resizes it, Control makes the steps small.";

/**
 * @param {{src: string, width: number, height: number, box?: import("./box.js").Box | null,
 *   changed?: (box: import("./box.js").Box | null) => void}} options size of the upright image in pixels; null: all of it
 * @returns {{element: HTMLElement, box: () => import("./box.js").Box | null, scale: (factor: number) => void,
 *   whole: () => void, focus: () => void}}
 */
export function createCropper({ src, width, height, box: given, changed }) {
  const size = { width, height };
  let box = given ?? scaledBox([0, 0, width, height], 0.8, size);
  let timer = 0;
  /** @type {{id: number, mode: string, x: number, y: number, box: number[], moved: boolean} | null} */
  let drag = null;

  const handles = Object.keys(HANDLES).map((name) => h("i", { class: `handle handle-${name}`, data: { handle: name } }));
  const frame = h("div", { class: "crop-box", tabindex: 0, role: "application", "aria-roledescription": "crop box", on: { keydown } }, handles);
  const picture = h("img", { src, alt: "", draggable: "false" });
  const element = h("div", { class: "cropper", style: { "--aspect": `${width} / ${height}`, "--ratio": width / height }, on: {
    pointerdown: down, pointermove: move, pointerup: up, pointercancel: up,
  } }, picture, h("div", { class: "crop-shade" }), frame);
  draw();
  return {
    element,
    box: () => (isWhole(box, size) ? null : rounded(box)),
    scale: (factor) => set(scaledBox(box, factor, size)),
    whole: () => set([0, 0, width, height]),
    focus: () => frame.focus(),
  };

  function set(next, { say = true } = {}) {
    box = next;
    draw();
    changed?.(isWhole(box, size) ? null : rounded(box));
    clearTimeout(timer);
    if (say) timer = setTimeout(() => announce(words()), 400);
  }

  function draw() {
    const [x0, y0, x1, y1] = box;
    const share = { left: x0 / width, top: y0 / height, right: 1 - x1 / width, bottom: 1 - y1 / height };
    for (const [name, value] of Object.entries(share)) element.style.setProperty(`--${name}`, `${(value * 100).toFixed(3)}%`);
    frame.setAttribute("aria-label", `${words()}. ${HELP}`);
  }

  function words() {
    if (isWhole(box, size)) return "The whole image";
    const [x0, y0, x1, y1] = box;
    const part = (value, room) => `${Math.round((value / room) * 100)} %`;
    return `${part(x1 - x0, width)} wide, ${part(y1 - y0, height)} high, ${part(x0, width)} from the left, ${part(y0, height)} from the top`;
  }

  function keydown(event) {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!direction || event.altKey) return;
    event.preventDefault();
    const step = (Math.max(width, height) / 100) * (event.ctrlKey || event.metaKey ? 0.2 : 2);
    const [dx, dy] = direction.map((each) => each * step);
    set(event.shiftKey ? resizedBox(box, "se", dx, dy, size) : movedBox(box, dx, dy, size));
  }

  /** The point of an event in pixels of the image. */
  function point({ clientX, clientY }) {
    const place = element.getBoundingClientRect();
    return { x: ((clientX - place.left) / place.width) * width, y: ((clientY - place.top) / place.height) * height };
  }

  function down(event) {
    if (event.button > 0 || drag) return;
    event.preventDefault();
    frame.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    const handle = event.target.dataset?.handle;
    const mode = handle ?? (frame.contains(event.target) ? "move" : "new");
    drag = { id: event.pointerId, mode, ...point(event), box, moved: false };
  }

  function move(event) {
    if (drag?.id !== event.pointerId) return;
    const { x, y } = point(event);
    const [dx, dy] = [x - drag.x, y - drag.y];
    const far = Math.hypot(dx, dy) > Math.max(width, height) / 100;
    if (!far && !drag.moved) return;
    drag.moved = true;
    if (drag.mode === "move") set(movedBox(drag.box, dx, dy, size));
    else if (drag.mode === "new") set(boxBetween([drag.x, drag.y], [x, y], size));
    else set(resizedBox(drag.box, drag.mode, dx, dy, size));
  }

  function up(event) {
    if (drag?.id !== event.pointerId) return;
    const { mode, moved, x, y } = drag;
    drag = null;
    if (mode !== "new" || moved || event.type === "pointercancel") return;
    const [x0, y0, x1, y1] = box;
    set(movedBox(box, x - (x0 + x1) / 2, y - (y0 + y1) / 2, size));
  }
}
