/** Icons, drawn for this page on a 24 × 24 grid in strokes of the text's colour. */

import { svg } from "./dom.js";

/** @type {Record<string, string>} */
const PATHS = {
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM15.3 15.3 20 20",
  explore: "M4 6.5 9 4l6 2.5L20 4v13.5l-5 2.5-6-2.5L4 20ZM9 4v13.5M15 6.5V20",
  duplicates: "M8 8h11v11H8ZM5 16V5h11",
  library: "M4 6h7v5H4ZM13 6h7v5h-7ZM4 13h7v5H4ZM13 13h7v5h-7Z",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  moon: "M19.5 14.2A8 8 0 0 1 9.8 4.5 8 8 0 1 0 19.5 14.2Z",
  auto: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16ZM12 4v16M12 8l5.5-2.3M12 12h8M12 16l5.5 2.3",
  close: "M6 6l12 12M18 6 6 18",
  check: "M5 12.5 10 17.5 19.5 7",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  left: "M14.5 5.5 8 12l6.5 6.5",
  right: "M9.5 5.5 16 12l-6.5 6.5",
  up: "M5.5 14.5 12 8l6.5 6.5",
  down: "M5.5 9.5 12 16l6.5-6.5",
  upload: "M12 16V5M7 9.5 12 4.5l5 5M5 19.5h14",
  download: "M12 4.5v11M7 11l5 5 5-5M5 19.5h14",
  camera: "M4 8h3.5L9 5.5h6L16.5 8H20v11H4ZM12 16.5a3.3 3.3 0 1 0 0-6.6 3.3 3.3 0 0 0 0 6.6Z",
  image: "M4 5h16v14H4ZM4 16l5-5 4.5 4.5 2.5-2.5 4 4M15.5 9.5h.01",
  crop: "M7 3v14h14M3 7h14v14",
  similar: "M9 18.2a6.2 6.2 0 1 0 0-12.4 6.2 6.2 0 0 0 0 12.4ZM15 18.2a6.2 6.2 0 1 0 0-12.4 6.2 6.2 0 0 0 0 12.4Z",
  filter: "M4 6h16M7 12h10M10 18h4",
  folder: "M4 6h5.5l2 2.5H20V18.5H4Z",
  tag: "M4 4h7.5L20 12.5 12.5 20 4 11.5ZM8 8h.01",
  calendar: "M4.5 6h15v13.5h-15ZM4.5 10.5h15M8.5 3.5v4M15.5 3.5v4",
  save: "M6 4h12v16.5l-6-4.5-6 4.5Z",
  info: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16ZM12 11v5M12 8h.01",
  warning: "M12 4 21 19.5H3ZM12 10v4.5M12 17h.01",
  zoomin: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM15.3 15.3 20 20M10.5 7.8v5.4M7.8 10.5h5.4",
  zoomout: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM15.3 15.3 20 20M7.8 10.5h5.4",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  thumbup: "M7.5 11v8.5H4V11ZM7.5 11 11 4c1.7 0 2.6 1 2.4 2.6L12.9 9.5h5.3c1.2 0 2 .9 1.8 2.1l-1 6c-.2 1.2-1 1.9-2.1 1.9H7.5",
  thumbdown: "M16.5 13V4.5H20V13ZM16.5 13 13 20c-1.7 0-2.6-1-2.4-2.6l.5-2.9H5.8c-1.2 0-2-.9-1.8-2.1l1-6c.2-1.2 1-1.9 2.1-1.9h9.4",
  trash: "M5 7h14M9.5 7V4.5h5V7M7 7l.8 12.5h8.4L17 7M10.5 10.5v5.5M13.5 10.5v5.5",
  refresh: "M19 5v5h-5M5 19v-5h5M18.6 10A7 7 0 0 0 6.3 7.7M5.4 14a7 7 0 0 0 12.3 2.3",
  pause: "M8.5 5.5v13M15.5 5.5v13",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1",
  lines: "M4 7h5M15 9h5M4 16h5M15 14h5M9 7l6 2M9 16l6-2",
  sort: "M7 5v14M4 16l3 3 3-3M13 7h7M13 12h5M13 17h3",
  lasso: "M6 15.5c-1.5-.9-2.5-2.3-2.5-4C3.5 7.9 7.3 5 12 5s8.5 2.9 8.5 6.5S16.7 18 12 18c-1.2 0-2.3-.2-3.3-.5M7.5 19a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM7.5 19c0 1-.5 1.8-1.5 2.3",
};

/**
 * An icon; it carries no meaning for screen readers, so its button needs a label.
 * @param {string} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const path = PATHS[name];
  if (!path) throw new RangeError(`icon: ${name} is unknown; there are ${Object.keys(PATHS).join(", ")}`);
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: path }));
}
