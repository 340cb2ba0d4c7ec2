/** The facts that tell images of a group apart: which differ, and which is the best of each. */

import { dateText, folderOf, nameOf, sizeText } from "../../lib/images.js";
import { bytesText } from "../../lib/units.js";

/**
 * @typedef {import("./groups.js").Member} Member
 * @typedef {{label: string, text: string, differs: boolean, best: string}} Fact best: in what it is the best, or ""
 */

/** "JPEG" of "a/b.jpg". @param {string} path */
export function formatOf(path) {
  const ending = /\.([^./\\]{1,5})$/.exec(nameOf(path))?.[1].toUpperCase() ?? "";
  return { JPG: "JPEG", JPE: "JPEG", TIF: "TIFF", HEIF: "HEIC" }[ending] ?? (ending || "unknown");
}

const date = ({ taken, modified }) => taken ?? modified ?? "";
const pixels = ({ width, height }) => (width ?? 0) * (height ?? 0);

const ROWS = [
  { label: "Pixels", value: pixels, text: sizeText, best: "largest", better: (a, b) => a > b },
  { label: "File", value: ({ size }) => size ?? 0, text: ({ size }) => (size ? bytesText(size) : ""), best: "largest", better: (a, b) => a > b },
  { label: "Format", value: ({ path }) => formatOf(path), text: ({ path }) => formatOf(path) },
  {
    label: ({ taken }) => (taken ? "Taken" : "Saved"), value: date, best: "oldest", better: (a, b) => a !== "" && (b === "" || a < b),
    text: (image, images) => (date(image) ? momentText(date(image), oneDay(images)) : ""),
  },
  { label: "Folder", value: ({ path }) => folderOf(path), text: ({ path }) => shortFolder(path) },
];

const SECOND = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A date, with the time to the second if only that tells images apart. */
function momentText(text, withTime) {
  const moment = withTime && text.includes("T") ? new Date(text) : null; // without a zone: the camera's own time
  return moment && !Number.isNaN(moment.getTime()) ? SECOND.format(moment) : dateText(text);
}

/** Whether all were taken on one day, so that only the time tells them apart. */
function oneDay(images) {
  return images.every((image) => date(image).slice(0, 10) === date(images[0]).slice(0, 10));
}

/** The last two folders of a path. */
function shortFolder(path) {
  const parts = folderOf(path).split(/[/\\]/).filter(Boolean);
  return parts.length > 2 ? `… / ${parts.slice(-2).join(" / ")}` : folderOf(path);
}

/**
 * The facts of each image of a group.
 * @param {Member[]} images
 * @returns {Fact[][]}
 */
export function factsOf(images) {
  return images.map((image) => ROWS.map(({ label, value, text, best, better }) => {
    const values = images.map(value);
    const differs = values.some((each) => each !== values[0]);
    // The best alone: where two share it, it decides nothing.
    const first = better && differs && values.every((each, at) => images[at] === image || better(value(image), each));
    return { label: typeof label === "string" ? label : label(image), text: text(image, images), differs, best: first ? best : "" };
  }).filter(({ text }) => text !== ""));
}

/** How an image of a group relates to its first one, in words. @param {Member} image */
export function relationText({ relation, score, turned, mirrored, more }) {
  const words = {
    reference: "", same_bytes: "identical file", same_picture: "same picture", same_shot: "same shot",
    burst: `${percentText(score)} alike`, alike: `${percentText(score)} alike`,
  };
  return [
    words[relation], mirrored && "mirrored", turned > 0 && `turned ${turned}°`,
    more > 0 && `stands for ${(more + 1).toLocaleString()} images`,
  ].filter(Boolean).join(", ");
}

/** A cosine as per cent, never rounded up to 100. @param {number} score */
export function percentText(score) {
  return score >= 1 ? "100 %" : `${Math.min(99.9, Math.floor(score * 1000) / 10).toFixed(1)} %`;
}
