/** The legend of a map: what the colours mean; pressing a group shows it alone or with others. */

import { groupColour, timeColour } from "../../lib/atlas/colours.js";
import { firstAndLast, isoDay } from "../../lib/atlas/months.js";
import { fill, h } from "../../lib/dom.js";
import { dateText } from "../../lib/images.js";

const OTHERS = 255;

/**
 * @param {import("../../lib/atlas/data.js").MapData} data
 * @param {{changed: (groups: Set<number>) => void}} options groups: those shown; none are all
 */
export function createLegend(data, { changed }) {
  const shown = new Set();
  const element = h("div", { class: "legend" });
  return { element, show };

  /** @param {string} colour folder, tag, day or none */
  function show(colour) {
    shown.clear();
    element.hidden = colour === "none";
    if (colour === "day") return fill(element, times());
    const groups = colour === "tag" ? data.tagGroups : data.folderGroups;
    const numbers = colour === "tag" ? data.tags : data.folders;
    const counts = new Uint32Array(256);
    for (let at = 0; at < data.count; at += 1) if (data.aspects[at] >= 0) counts[numbers[at] < groups.length ? numbers[at] : OTHERS] += 1;
    const entries = groups.map(({ name }, number) => ({ name: name || "/", number }));
    if (counts[OTHERS] > 0) entries.push({ name: colour === "tag" ? "No tag of these" : "Other folders", number: OTHERS });
    element.hidden = entries.length === 0;
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", colour === "tag" ? "Tags" : "Folders");
    return fill(element, entries.map((entry) => button(entry, counts[entry.number])));
  }

  function button({ name, number }, images) {
    const press = ({ currentTarget }) => {
      if (!shown.delete(number)) shown.add(number);
      currentTarget.setAttribute("aria-pressed", String(shown.has(number)));
      element.classList.toggle("legend-some", shown.size > 0);
      changed(new Set(shown));
    };
    return h("button", { class: "legend-entry", type: "button", "aria-pressed": "false", title: name, on: { click: press } },
      h("i", { class: "swatch", style: { background: groupColour(number) } }), h("span", { class: "clip" }, name), h("span", { class: "soft numbers" }, images.toLocaleString()));
  }

  function times() {
    element.classList.remove("legend-some");
    const days = firstAndLast(data.days);
    if (!days) return h("p", { class: "small soft" }, "No dates");
    const stops = Array.from({ length: 6 }, (_, step) => `rgb(${timeColour(step / 5).join(" ")})`).join(", ");
    return h("div", { class: "legend-times" }, h("i", { style: { background: `linear-gradient(90deg, ${stops})` } }),
      h("div", { class: "spread tiny" }, days.map((day) => h("span", null, dateText(isoDay(day))))));
  }
}
