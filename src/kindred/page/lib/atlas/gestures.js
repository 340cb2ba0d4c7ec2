/**
 * Mouse, wheel, touch and keys over a map, as movements of its camera.
 *
 * @typedef {{
 *   pan: (dx: number, dy: number) => void,
 *   zoom: (factor: number, x?: number, y?: number, smooth?: boolean) => void,
 *   fit: () => void,
 *   hover: (x: number | null, y?: number) => void,
 *   press: (x: number, y: number, event: PointerEvent) => void,
 *   lasso: {begin: (x: number, y: number) => void, move: (x: number, y: number) => void, end: (add: boolean) => void, cancel: () => void},
 *   lassoing: () => boolean,
 * }} Moves x, y: px from the top left
 */

const STILL = 5; // px that a press may move
const STEP = 1.6;
const DISTANCE = 90; // px of an arrow key

/**
 * @param {HTMLElement} stage @param {Moves} moves
 * @returns {() => void} stops listening
 */
export function gestures(stage, moves) {
  const stop = new AbortController();
  const pointers = new Map();
  let press = null;
  let drawing = false;
  const on = (name, listener, options) => stage.addEventListener(name, listener, { signal: stop.signal, ...options });
  const point = ({ clientX, clientY }) => {
    const box = stage.getBoundingClientRect();
    return { x: clientX - box.left, y: clientY - box.top };
  };

  on("wheel", (event) => {
    event.preventDefault();
    const { x, y } = point(event);
    const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    if (event.shiftKey && !event.ctrlKey) moves.pan((event.deltaX || event.deltaY) * lines, 0);
    else moves.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.012 : 0.0022)), x, y);
  }, { passive: false });

  on("pointerdown", (event) => {
    if (event.button > 0) return;
    stage.setPointerCapture(event.pointerId);
    const at = point(event);
    pointers.set(event.pointerId, at);
    if (pointers.size > 1) {
      if (drawing) moves.lasso.cancel();
      [press, drawing] = [null, false];
      return;
    }
    press = at;
    drawing = moves.lassoing() || (event.shiftKey && event.pointerType === "mouse");
    if (drawing) moves.lasso.begin(at.x, at.y);
    moves.hover(null);
  });

  on("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    const now = point(event);
    if (!before) {
      if (event.pointerType !== "touch") moves.hover(now.x, now.y);
      return;
    }
    if (pointers.size === 1) {
      if (press && Math.hypot(now.x - press.x, now.y - press.y) > STILL) press = null;
      if (drawing) moves.lasso.move(now.x, now.y);
      else if (!press) moves.pan(before.x - now.x, before.y - now.y);
      if (!press || drawing) pointers.set(event.pointerId, now);
      return;
    }
    const [a, b] = [...pointers.values()];
    pointers.set(event.pointerId, now);
    const [c, d] = [...pointers.values()];
    const middle = { x: (c.x + d.x) / 2, y: (c.y + d.y) / 2 };
    moves.pan((a.x + b.x) / 2 - middle.x, (a.y + b.y) / 2 - middle.y);
    moves.zoom(Math.hypot(c.x - d.x, c.y - d.y) / Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)), middle.x, middle.y);
  });

  const up = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (drawing && event.type === "pointerup" && !press) moves.lasso.end(event.shiftKey && moves.lassoing());
    else if (drawing) moves.lasso.cancel();
    if (press && event.type === "pointerup") moves.press(press.x, press.y, event);
    [press, drawing] = [null, false];
  };
  on("pointerup", up);
  on("pointercancel", up);
  on("pointerleave", () => moves.hover(null));

  on("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const distance = event.shiftKey ? 3 * DISTANCE : DISTANCE;
    const pans = { ArrowLeft: [-distance, 0], ArrowRight: [distance, 0], ArrowUp: [0, -distance], ArrowDown: [0, distance] };
    if (pans[event.key]) moves.pan(...pans[event.key]);
    else if (event.key === "+" || event.key === "=") moves.zoom(STEP, undefined, undefined, true);
    else if (event.key === "-" || event.key === "_") moves.zoom(1 / STEP, undefined, undefined, true);
    else if (event.key === "0" || event.key === "Home") moves.fit();
    else if (event.key === "Escape" && drawing) moves.lasso.cancel();
    else return;
    event.preventDefault();
  });
  return () => stop.abort();
}
