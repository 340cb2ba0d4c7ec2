/**
 * The groups of the last search, fetched in pages as they are shown.
 *
 * @typedef {{id: string, path: string, relation: string, score: number, turned: number, mirrored: boolean, copy_of: string | null,
 *   width: number | null, height: number | null, frames: number | null, size: number | null, taken: string | null,
 *   modified: string | null, shot: number, more: number, companions: string[], keep: boolean | null, tags: string[], missing: boolean}} Member
 * @typedef {{key: string, at: number, kind: string, score: number, images: Member[]}} Group
 * @typedef {{searched: string, threshold: number, least: number, most: number | null, images: number, changed: boolean, kinds: string[],
 *   counts: Record<string, number>, total: number, marked: number, folders: {path: string, images: number}[]}} Facts
 */

const PAGE = 50;
const PAGES = 40; // Pages that are stored.

export class Groups {
  /**
   * @param {typeof import("../../lib/api.js")} api
   * @param {() => void} arrived called when more groups are here
   */
  constructor(api, arrived) {
    Object.assign(this, { api, arrived });
    /** @type {Map<number, (Group | undefined)[] | null>} null while a page is on its way */
    this.pages = new Map();
    /** @type {Facts | null} null before the first search */
    this.facts = null;
    this.params = {};
    this.stop = new AbortController();
  }

  get total() {
    return this.facts?.total ?? 0;
  }

  /**
   * Read the groups again; what is shown stays until they are here.
   * @param {Record<string, unknown>} params of the request
   * @param {number} [around] the place that is shown
   */
  async load(params, around = 0) {
    this.stop.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    let page = Math.floor(Math.max(0, around) / PAGE);
    let found = await this.#fetch(params, page, signal);
    if (found.groups.length === 0 && found.total > 0) {
      page = Math.floor((found.total - 1) / PAGE);
      found = await this.#fetch(params, page, signal);
    }
    this.params = params;
    this.pages = new Map([[page, found.groups]]);
    this.facts = found.searched === null ? null : found;
  }

  #fetch(params, page, signal) {
    return this.api.get("/duplicates", { params: { ...params, after: page * PAGE, limit: PAGE }, signal });
  }

  /** The group at a place, if it is here; otherwise it is fetched. @param {number} at @returns {Group | undefined} */
  at(at) {
    if (at < 0 || at >= this.total) return undefined;
    const page = Math.floor(at / PAGE);
    if (!this.pages.has(page)) void this.#more(page);
    return this.pages.get(page)?.[at - page * PAGE];
  }

  async #more(page) {
    const { signal } = this.stop;
    this.pages.set(page, null);
    while (this.pages.size > PAGES) this.pages.delete(this.pages.keys().next().value);
    try {
      const { groups } = await this.#fetch(this.params, page, signal);
      if (signal.aborted) return;
      this.pages.set(page, groups);
      this.arrived();
    } catch (error) {
      if (signal.aborted) return;
      this.pages.delete(page);
      throw error;
    }
  }

  /** The place of the first group that is so, among those that are here; or -1. @param {(group: Group) => boolean} isSo */
  indexOf(isSo) {
    for (const [page, groups] of this.pages) {
      const at = groups?.findIndex((group) => group && isSo(group)) ?? -1;
      if (at >= 0) return page * PAGE + at;
    }
    return -1;
  }

  destroy() {
    this.stop.abort();
  }
}

/**
 * The images of a group as cards: the files of one shot are one card, unless the group is about them.
 * @param {Group} group @returns {Member[][]} the first of each is the one to show
 */
export function cardsOf({ kind, images }) {
  if (kind === "same_shot") return images.map((image) => [image]);
  /** @type {Map<number, Member[]>} */
  const shots = new Map();
  for (const image of images) shots.set(image.shot, [...(shots.get(image.shot) ?? []), image]);
  return [...shots.values()];
}

/**
 * Whether a group is decided, as the server reckons: all its images have one of the tags, or one has it if there is one.
 * @param {Group} group @param {string[]} tags
 */
export function isDecided({ images }, tags) {
  const has = (image) => tags.some((tag) => image.tags.includes(tag));
  return tags.length > 1 ? images.every(has) : images.some(has);
}
