/**
 * What the view of duplicates shows (in the address) and how one chooses what to keep (remembered by the browser).
 *
 * @typedef {{kinds: string[], threshold: number | null, most: number | null, decided: boolean, marked: boolean, group: string}} Shown
 * @typedef {{rules: string[], prefer: string[], tag: string, others: string, letters: boolean}} Choice
 *   rules: names of the server's rules, decided in turn; letters: whether single letters are commands
 */

export const KINDS = [
  ["same_bytes", "Same file", "The files are identical, byte for byte."],
  ["same_picture", "Same picture", "The pixels agree everywhere: another size, format, quality, or turned."],
  ["same_shot", "Same shot", "One photograph in several formats, such as RAW and JPEG."],
  ["burst", "Burst", "Similar pictures that one camera took within two seconds."],
  ["alike", "Alike", "They look alike, which proves nothing: have a look before you decide."],
];

export const RULES = [
  ["larger", "The largest", "the most pixels, then the largest file"],
  ["older", "The oldest", "the earliest date, of the picture or else of the file"],
  ["newer", "The newest", "the latest date, of the picture or else of the file"],
  ["format", "The best format", "RAW, TIFF, PNG, HEIC, JPEG, WebP, BMP, GIF"],
  ["folder", "A folder I prefer", "in the order below"],
];

const STORED = "kindred.duplicates";
const DEFAULTS = { rules: ["larger"], prefer: [], tag: "keep", others: "spare", letters: true };
const LONGEST = 200;

/** @param {URLSearchParams} params @returns {Shown} */
export function parse(params) {
  const names = KINDS.map(([name]) => name);
  return {
    kinds: params.getAll("kind").filter((kind) => names.includes(kind)),
    threshold: cosine(params.get("from")),
    most: cosine(params.get("most")),
    decided: params.get("decided") === "1",
    marked: params.get("marked") === "1",
    group: params.get("group") ?? "",
  };
}

function cosine(text) {
  const value = Number(text ?? "");
  return text && value > 0 && value <= 1 ? value : null;
}

/**
 * The parameters of a request for groups.
 * @param {Shown} shown @param {Choice} choice
 */
export function asParams(shown, choice) {
  return {
    kinds: shown.kinds, threshold: shown.threshold, most: shown.most, marked: shown.marked,
    without_tag: shown.decided ? [] : decidedTags(choice), rule: usable(choice), prefer: choice.prefer,
  };
}

/** The tags by which the server knows decided groups. @param {Choice} choice */
export function decidedTags({ tag, others }) {
  return others ? [tag, others] : [tag];
}

/** The rules that can be used: that of folders only with folders. @param {Choice} choice */
export function usable({ rules, prefer }) {
  return rules.filter((rule) => rule !== "folder" || prefer.length > 0);
}

/** @returns {Choice} */
export function storedChoice() {
  let stored = {};
  try {
    stored = JSON.parse(localStorage.getItem(STORED) ?? "{}") ?? {};
  } catch {
    // Storage may be blocked, or hold something else; then the usual choice is made.
  }
  const texts = (value, known) => (Array.isArray(value) ? value.filter((each) => typeof each === "string" && (!known || known.includes(each))) : null);
  const text = (value, usual) => (typeof value === "string" && value.length <= LONGEST ? value : usual);
  return {
    rules: texts(stored.rules, RULES.map(([name]) => name)) ?? DEFAULTS.rules,
    prefer: texts(stored.prefer)?.slice(0, 50) ?? DEFAULTS.prefer,
    tag: text(stored.tag, DEFAULTS.tag).trim() || DEFAULTS.tag,
    others: text(stored.others, DEFAULTS.others).trim(),
    letters: stored.letters !== false,
  };
}

/** @param {Choice} choice */
export function storeChoice(choice) {
  try {
    localStorage.setItem(STORED, JSON.stringify(choice));
  } catch {
    // Then it lasts until the page is left.
  }
}
