/**
 * The views, in the order of the navigation. A view is a module with `mount(root, context)`, which returns a function
 * that takes it away again; its rules are in styles/NAME.css, or in
 * `styles`, if it shares those of another.
 *
 * @typedef {{name: string, title: string, icon: string, load: () => Promise<{mount: Mount}>, styles?: string[]}} View
 * @typedef {(root: HTMLElement, context: import("../app.js").Context) => (() => void) | Promise<() => void>} Mount
 */

/** @type {View[]} */
export const VIEWS = [
  { name: "search", title: "Search", icon: "search", load: () => import("./search.js") },
  { name: "explore", title: "Explore", icon: "explore", load: () => import("./explore.js") },
  { name: "duplicates", title: "Duplicates", icon: "duplicates", load: () => import("./duplicates.js") },
  { name: "manage", title: "Library", icon: "library", load: () => import("./manage.js"), styles: ["search", "selection", "manage"] },
];
