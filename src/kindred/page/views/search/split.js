/**
 * Where answers end: those above the line probably show the same thing, those below probably do not.
 *
 * @typedef {import("../../lib/images.js").Image} Image
 */

/**
 * Split answers, best first, at a probability. Without a calibration nothing is known, and all are above.
 * @param {Image[]} answers
 * @param {number} line
 * @returns {{above: Image[], below: Image[], known: boolean}}
 */
export function splitAt(answers, line) {
  const known = answers.some(({ probability }) => typeof probability === "number");
  if (!known) return { above: answers, below: [], known };
  const above = answers.filter(({ probability }) => typeof probability === "number" && probability >= line);
  const below = answers.filter(({ probability }) => !(typeof probability === "number" && probability >= line));
  return { above, below, known };
}

/** Newest first, or oldest first; images without a date last. */
export function byDate(answers, order) {
  const sign = order === "oldest" ? 1 : -1;
  return answers.toSorted((a, b) => {
    if (!a.taken || !b.taken) return Number(!a.taken) - Number(!b.taken) || a.rank - b.rank;
    return sign * (a.taken < b.taken ? -1 : a.taken > b.taken ? 1 : 0) || a.rank - b.rank;
  });
}

/**
 * How far each answer has moved against another order of the same search.
 * @param {Image[]} answers
 * @param {Image[]} before
 * @returns {Map<string, number | null>} places up (down: negative); null: was not among them
 */
export function changesAgainst(answers, before) {
  const ranks = new Map(before.map(({ id, rank }) => [id, rank]));
  return new Map(answers.map(({ id, rank }) => [id, ranks.has(id) ? ranks.get(id) - rank : null]));
}
