/**
 * Routes in the fragment: #/search?image=…&tag=… What a view shows is in the address, so that back, forward and
 * reload bring it back.
 *
 * @typedef {{view: string, params: URLSearchParams}} Route
 */

import { toParams } from "./params.js";

/** @type {Set<(route: Route) => void>} */
const listeners = new Set();
let shown = location.hash;

/**
 * The route of a fragment.
 * @param {string} fragment
 * @returns {Route}
 */
export function parse(fragment) {
  const match = /^#\/([a-z]*)(?:\?(.*))?$/s.exec(fragment);
  return { view: match?.[1] || "search", params: new URLSearchParams(match?.[2] ?? "") };
}

/**
 * The fragment of a route, as href of a link. Parameters that are null, undefined or empty are left out.
 * @param {string} view
 * @param {URLSearchParams | Record<string, unknown>} [params]
 */
export function href(view, params) {
  const text = (params instanceof URLSearchParams ? params : toParams(params ?? {})).toString();
  return `#/${view}${text ? `?${text}` : ""}`;
}

/** The route of the address. */
export function current() {
  return parse(location.hash);
}

/**
 * Go to a route.
 * @param {string} view
 * @param {URLSearchParams | Record<string, unknown>} [params]
 * @param {{replace?: boolean}} [options] replace: without a step in the history
 */
export function go(view, params, options = {}) {
  const next = href(view, params);
  if (next === location.hash) return;
  if (options.replace) history.replaceState(history.state, "", next);
  else history.pushState(null, "", next);
  notify();
}

/**
 * Change some parameters of the current route: null removes one.
 * @param {Record<string, unknown>} changes
 * @param {{replace?: boolean}} [options]
 */
export function update(changes, options = {}) {
  const { view, params } = current();
  for (const [name, value] of Object.entries(changes)) {
    params.delete(name);
    for (const [, each] of toParams({ [name]: value })) params.append(name, each);
  }
  go(view, params, options);
}

/**
 * Be called after every change of the route.
 * @param {(route: Route) => void} listener
 * @returns {() => void} stops it
 */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function notify() {
  if (location.hash === shown) return;
  shown = location.hash;
  again();
}

/** Show the present route again, as what it shows has changed. */
export function again() {
  const route = current();
  for (const listener of [...listeners]) listener(route);
}

addEventListener("popstate", notify);
addEventListener("hashchange", notify);
