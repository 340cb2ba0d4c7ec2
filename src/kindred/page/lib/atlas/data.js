/**
 * The map as the server gives it, in typed arrays.
 *
 * @typedef {{name: string, images: number}} Group
 * @typedef {{
 *   facts: any, count: number, points: Float32Array, ids: Uint8Array, levels: Uint8Array, ends: Uint32Array,
 *   aspects: Float32Array, days: Int32Array, folders: Uint8Array, tags: Uint8Array, folderGroups: Group[], tagGroups: Group[],
 *   grid: import("./pointgrid.js").PointGrid, scratch: Uint32Array, box: import("./camera.js").Box,
 * }} MapData
 */

import { prefixes } from "./detail.js";
import { gridOf } from "./pointgrid.js";

/**
 * Load all of a map but its thumbnails.
 * @param {typeof import("../api.js")} api
 * @param {any} facts of GET /map, with a revision
 * @param {AbortSignal} [signal]
 * @returns {Promise<MapData>}
 */
export async function loadMap(api, facts, signal) {
  const octets = async (path, revision) => {
    const params = { method: facts.method, revision };
    return (await api.request("GET", `/map/${path}`, { params, signal })).arrayBuffer();
  };
  const column = (name) => octets(`columns/${name}`, facts.columns_revision);
  const [ids, points, levels, aspects, days, folders, tags] = await Promise.all([
    octets("ids", facts.revision), octets("positions", facts.revision), ...["level", "aspect", "day", "folder", "tag"].map(column),
  ]);
  const groups = (name) => facts.columns.find((each) => each.name === name)?.groups ?? [];
  return mapData({
    facts, ids: new Uint8Array(ids), points: new Float32Array(points), levels: new Uint8Array(levels),
    aspects: new Float32Array(aspects), days: new Int32Array(days), folders: new Uint8Array(folders), tags: new Uint8Array(tags),
    folderGroups: groups("folder"), tagGroups: groups("tag"),
  });
}

/** A map with what is computed from it. @returns {MapData} */
export function mapData(given) {
  const count = given.points.length / 2;
  return {
    ...given, count, ends: prefixes(given.levels),
    grid: gridOf(given.points), scratch: new Uint32Array(count), box: boxOf(given.points),
  };
}

/** The smallest box around points, given as x and y of each. @param {ArrayLike<number>} points */
export function boxOf(points) {
  const box = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
  for (let at = 0; at < points.length; at += 2) {
    box.x0 = Math.min(box.x0, points[at]);
    box.x1 = Math.max(box.x1, points[at]);
    box.y0 = Math.min(box.y0, points[at + 1]);
    box.y1 = Math.max(box.y1, points[at + 1]);
  }
  return box;
}

/** The id of image `at`, 16 hexadecimal digits. */
export function idOf({ ids }, at) {
  let text = "";
  for (let byte = 8 * at; byte < 8 * at + 8; byte += 1) text += ids[byte].toString(16).padStart(2, "0");
  return text;
}
