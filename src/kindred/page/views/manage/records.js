/** The records of several images, in one request. */

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
