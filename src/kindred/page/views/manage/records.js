/** Several images at once: their records, and changes of their tags and metadata. */

import { count } from "../../lib/images.js";

export const MOST_RECORDS = 2000;

/**
 * The records of images, of the first `MOST_RECORDS`.
 * @param {typeof import("../../lib/api.js")} api
 * @param {string[]} ids
 * @returns {Promise<import("../../lib/images.js").Image[]>}
 */
export async function recordsOf(api, ids) {
  const { images } = await api.post("/export", { ids: ids.slice(0, MOST_RECORDS), format: "json" });
  return images;
}

/** The parts of a list that the server takes at once. @param {string[]} ids */
export function* parts(ids, size = 50_000) {
  for (let at = 0; at < ids.length; at += size) yield ids.slice(at, at + size);
}

/**
 * Change images, and say how many were; those that were removed from the library meanwhile are counted.
 * @param {import("../../app.js").Context} context
 * @param {string} path of the API, such as /images/tags
 * @param {{ids: string[], name: string} & Record<string, unknown>} change name: what is changed, in the plural
 */
export async function changeAll({ api, announce, toast }, path, { ids, name, ...change }) {
  let gone = 0;
  for (const part of parts(ids)) gone += (await api.post(path, { ids: part, ...change })).not_in_library.length;
  if (gone < ids.length) announce(`${name} of ${count(ids.length - gone, "image")} changed`);
  if (gone > 0) toast(`${count(gone, "image")} ${gone === 1 ? "is" : "are"} no longer in the library and could not be changed.`, { kind: "bad" });
}
