/**
 * The page: header, navigation and the view of the route.
 *
 * @typedef {{
 *   api: typeof import("./lib/api.js"),
 *   router: typeof import("./lib/router.js"),
 *   library: Library,
 *   announce: typeof announce,
 *   toast: typeof toast,
 *   viewer: typeof openViewer,
 * }} Context
 * @typedef {{images: number, calibrated: boolean, regions: boolean, local_features: boolean, read_only: boolean,
 *   rerankers: {name: string, summary: string}[], folders: {id: string, path: string}[], line: number,
 *   tags: Record<string, number>, metadata: Record<string, number>, reload: () => Promise<void>}} Library
 */

import * as api from "./lib/api.js";
import * as router from "./lib/router.js";
import { announce } from "./lib/announce.js";
import { fill, h } from "./lib/dom.js";
import { icon } from "./lib/icons.js";
import { themeButton } from "./lib/theme.js";
import { toast, toastError } from "./lib/toast.js";
import { openViewer } from "./lib/viewer.js";
import { VIEWS } from "./views/table.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
/** @type {Library} */
const library = { reload: readLibrary };
/** @type {Context} */
const context = { api, router, library, announce, toast, viewer: (...given) => openViewer(context, ...given) };
let mounted = { name: "", unmount: () => {} };
let turn = 0;
const WAIT = 300; // Milliseconds before a view that is not there yet shows that it is loading.

async function readLibrary() {
  Object.assign(library, await api.get("/library"));
}

/** A page that was out of sight shows what has changed in the library meanwhile, such as in another tab. */
async function seenAgain() {
  if (document.hidden) return;
  const before = library.revision;
  try {
    await readLibrary();
  } catch {
    return; // What one does next will say so.
  }
  if (library.revision !== before) router.again();
}

function drawNavigation() {
  const links = VIEWS.map(({ name, title, icon: sign }) =>
    h("a", { href: router.href(name), data: { view: name } }, icon(sign), h("span", null, title)));
  fill(nav, links);
  nav.hidden = VIEWS.length < 2;
}

/** Mount the view of the route; a view that is shown already hears of new parameters itself. */
async function show(route) {
  const view = viewOf(route);
  for (const link of nav.children) {
    link.toggleAttribute("data-current", link.dataset.view === view.name);
    if (link.dataset.view === view.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (mounted.name === view.name) return;
  turn += 1;
  const mine = turn;
  mounted.unmount();
  const again = mounted.name !== "";
  mounted = { name: view.name, unmount: () => {} };
  document.title = `${view.title} · Kindred`;
  const root = h("div", { class: ["view", `view-${view.name}`] });
  fill(main, root);
  scrollTo(0, 0);
  const mounting = loaded(view).then(([module]) => (mine === turn ? module.mount(root, context) : () => {}));
  let unmount;
  try {
    unmount = await whileWaiting(root, mounting);
  } catch (error) {
    if (mine === turn && !api.aborted(error)) failed(error, { place: root, title: `${view.title} cannot be shown` });
    return undefined;
  }
  if (mine !== turn) return unmount();
  mounted.unmount = unmount;
  // Screen readers start at the new view; the first one is left to the browser.
  if (again) {
    main.focus({ preventScroll: true });
    announce(view.title);
  }
}

/** Show that a view is loading if it has drawn nothing for a while, as one does that waits for the server. */
function whileWaiting(root, mounting) {
  const bar = h("div", { class: "busy", role: "status", "aria-label": "Loading" });
  const timer = setTimeout(() => !root.hasChildNodes() && root.append(bar), WAIT);
  return mounting.finally(() => {
    clearTimeout(timer);
    bar.remove();
  });
}

/** The view of a route; an unknown one is the first. */
function viewOf({ view }) {
  return VIEWS.find(({ name }) => name === view) ?? VIEWS[0];
}

/** The module of a view, and its rules. */
function loaded(view) {
  return Promise.all([view.load(), ...(view.styles ?? [view.name]).map(styles)]);
}

const sheets = new Map();

/** Load the rules of a view once, before it is shown. */
function styles(name) {
  if (!sheets.has(name)) {
    sheets.set(name, new Promise((resolve) => {
      const done = { load: resolve, error: resolve };
      document.head.append(h("link", { rel: "stylesheet", href: `/assets/styles/${name}.css`, on: done }));
    }));
  }
  return sheets.get(name);
}

/** Say what went wrong, and offer to load the page again; the module of a view that could not be fetched is no ApiError. */
function failed(error, { place = main, title = "The library cannot be opened" } = {}) {
  const again = h("button", { class: "button button-primary", type: "button", on: { click: () => location.reload() } }, "Try again");
  const text = error instanceof api.ApiError ? error.message : api.UNREACHABLE;
  if (!(error instanceof api.ApiError)) console.error(error);
  fill(place, h("div", { class: "empty", role: "alert" }, icon("warning"), h("h1", null, title),
    h("p", null, text), error.hint && h("p", { class: "soft" }, error.hint), again));
}

async function start() {
  drawNavigation();
  document.getElementById("bar-end").append(themeButton());
  addEventListener("unhandledrejection", (event) => {
    if (api.aborted(event.reason)) event.preventDefault();
    else if (event.reason instanceof api.ApiError) toastError(event.reason);
  });
  void loaded(viewOf(router.current())); // While the library answers.
  try {
    await readLibrary();
  } catch (error) {
    return failed(error);
  }
  router.listen((route) => void show(route));
  document.addEventListener("visibilitychange", () => void seenAgain());
  await show(router.current());
}

await start();
