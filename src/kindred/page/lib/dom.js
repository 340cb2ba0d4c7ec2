/**
 * Elements without markup: h("button", {class: "button", on: {click}}, "Search").
 *
 * Text from images (names, EXIF, tags) only ever becomes text nodes, so nothing is parsed as HTML and Trusted Types
 * has nothing to refuse. What people read or hear is made printable here, so that no view can forget it. Styles are set
 * as CSS properties, since the policy forbids style attributes.
 *
 * @typedef {Node | string | number | null | undefined | false | Child[]} Child
 * @typedef {Record<string, unknown> & {
 *   class?: string | (string | false | null | undefined)[],
 *   data?: Record<string, string | number>,
 *   style?: Record<string, string | number>,
 *   on?: Record<string, (event: any) => void>,
 * }} Props
 */

import { isPrintable, printable } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
/** Attributes that are shown or read out; all others are for programs and stay as they are. */
const WORDS = new Set(["alt", "aria-label", "aria-valuetext", "label", "placeholder", "title"]);

/**
 * Create an HTML element.
 * @param {string} tag
 * @param {Props | null} [props] attributes and properties; false, null and undefined leave an attribute out
 * @param {...Child} children
 * @returns {any}
 */
export function h(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

/**
 * Create an SVG element.
 * @param {string} tag
 * @param {Props | null} [props]
 * @param {...Child} children
 * @returns {any}
 */
export function svg(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

/**
 * Replace the children of an element.
 * @param {Element} parent
 * @param {...Child} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...nodes(children));
}

/**
 * Nodes of nested children; null and false are left out.
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
export function nodes(children) {
  return children.flat(9).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : printable(String(child))));
}

/**
 * Set attributes and properties of an element, as `h` does.
 * @param {Element} element
 * @param {Props} props
 */
export function put(element, props) {
  for (const [name, value] of Object.entries(props)) set(element, name, value);
}

/**
 * Text from outside amid other words, with its own direction: a name in Hebrew or Arabic does not reorder them.
 * @param {string} text
 */
export function isolated(text) {
  return h("bdi", null, text);
}

/**
 * Suggestions for a field; names that would not be shown as they are are left out.
 * @param {string} id
 * @param {string[]} names
 */
export function suggestions(id, names) {
  return h("datalist", { id }, names.filter(isPrintable).map((name) => h("option", { value: name })));
}

function filled(element, props, children) {
  put(element, props ?? {});
  element.append(...nodes(children));
  return element;
}

function set(element, name, value) {
  if (name === "on") {
    for (const [event, listener] of Object.entries(value)) if (listener) element.addEventListener(event, listener);
  } else if (name === "data") {
    for (const [key, text] of Object.entries(value)) element.dataset[key] = text;
  } else if (name === "style") {
    for (const [key, text] of Object.entries(value)) element.style.setProperty(key, String(text));
  } else if (name === "class") {
    const names = (Array.isArray(value) ? value : [value]).filter(Boolean).join(" ");
    if (names) element.setAttribute("class", names);
  } else if (name === "value" || name === "checked" || name === "indeterminate" || name === "selected") {
    element[name] = value;
  } else if (/^on/i.test(name) || name === "srcdoc") {
    throw new TypeError(`h: ${name} is not an attribute to set; give listeners as on: {click: …}`);
  } else if (value === true) {
    element.setAttribute(name, "");
  } else if (value !== false && value !== null && value !== undefined) {
    element.setAttribute(name, WORDS.has(name) ? printable(String(value)) : String(value));
  }
}

/** Whether fingers are used here rather than a mouse: what cannot be done with them is not offered. */
export function isTouch() {
  return matchMedia("(pointer: coarse)").matches;
}

let counter = 0;

/** A new id for label/for, aria-controls and the like. */
export function uid(prefix = "k") {
  counter += 1;
  return `${prefix}-${counter}`;
}
