/**
 * What the search view shows, to and from the parameters of its address.
 *
 * A query image is written as i.ID (of the library) or u.ID (uploaded), with a minus in front where it is not wanted
 * and _x0_y0_x1_y1 behind for a part of it: characters that stand in an address as they are.
 *
 * @typedef {{kind: "image" | "upload", id: string, wanted: boolean, box: number[] | null}} QueryImage
 * @typedef {{folder: string, tags: string[], from: string, to: string, where: string[]}} Filter
 * @typedef {{
 *   query: QueryImage[], right: string[], wrong: string[], filter: Filter, sort: string, rerank: string[] | null,
 *   line: number | null, below: boolean, scores: boolean, changes: boolean, regions: boolean, noCopies: boolean,
 *   show: string, why: string,
 * }} State rerank: null is the default of the recipe; line: null is the library's; show: the image seen large; why: the
 *   image that is explained
 */

const ID = /^[A-Za-z0-9]{1,100}$/;

/** @param {string} text @returns {QueryImage | null} null if it is not a query image */
export function parseQueryImage(text) {
  const match = /^(-?)([iu])\.([A-Za-z0-9]{1,100})(?:_([\d._]+))?$/.exec(text);
  if (!match) return null;
  const box = match[4] ? match[4].split("_").map(Number) : null;
  if (box && (box.length !== 4 || !box.every(Number.isFinite) || box[0] >= box[2] || box[1] >= box[3])) return null;
  return { kind: match[2] === "i" ? "image" : "upload", id: match[3], wanted: !match[1], box };
}

/** @param {QueryImage} image */
export function writeQueryImage({ kind, id, wanted, box }) {
  return `${wanted ? "" : "-"}${kind[0]}.${id}${box ? `_${box.join("_")}` : ""}`;
}

/** @param {URLSearchParams} params @returns {State} anything malformed is left out */
export function parseState(params) {
  const ids = (name) => params.getAll(name).filter((id) => ID.test(id));
  const line = Number.parseFloat(params.get("line") ?? "");
  const rerank = params.get("rerank");
  return {
    query: params.getAll("q").map(parseQueryImage).filter(Boolean),
    right: ids("right"),
    wrong: ids("wrong"),
    filter: {
      folder: params.get("folder") ?? "",
      tags: params.getAll("tag").filter(Boolean),
      from: day(params.get("from")),
      to: day(params.get("to")),
      where: params.getAll("where").filter(Boolean),
    },
    sort: params.get("sort") ?? "",
    rerank: rerank === null ? null : rerank === "none" ? [] : rerank.split(",").filter(Boolean),
    line: line >= 0 && line <= 1 ? line : null,
    below: params.get("below") === "1",
    scores: params.get("scores") === "1",
    changes: params.get("changes") === "1",
    regions: params.get("regions") === "1",
    noCopies: params.get("nocopies") === "1",
    show: ids("show")[0] ?? "",
    why: ids("why")[0] ?? "",
  };
}

function day(text) {
  return /^\d{4}(-\d\d(-\d\d)?)?$/.test(text ?? "") ? text : "";
}

/** The parameters of a list of query images, for the router. */
export function queryParams(query) {
  return { q: query.map(writeQueryImage) };
}

/** The address of a search for images like some of the library's. */
export function similarParams(...ids) {
  return queryParams(ids.map((id) => ({ kind: "image", id, wanted: true, box: null })));
}

/** The filter as parameters of /images, and as part of a search. */
export function filterParams({ folder, tags, from, to, where }) {
  return { folder, tag: tags, from, to, where };
}

/** The same as JSON. */
export function filterBody({ folder, tags, from, to, where }) {
  const body = {};
  if (folder) body.folder = folder;
  if (tags.length > 0) body.tag = tags;
  if (from) body.from = from;
  if (to) body.to = to;
  if (where.length > 0) body.where = where;
  return body;
}

/** Whether anything is filtered. */
export function isFiltered(filter) {
  return Object.keys(filterBody(filter)).length > 0;
}

/**
 * The body of POST /search for a state; all that decides the answers, and nothing else.
 * @param {State} state
 * @param {{k: number, offset: number}} page
 */
export function searchBody(state, { k, offset }) {
  const query = state.query.map(({ kind, id, wanted, box }) => ({ [kind]: id, weight: wanted ? 1 : -0.5, ...(box && { box }) }));
  const body = { query, k, offset, filter: filterBody(state.filter), rerank: rerankOf(state) };
  if (state.right.length > 0) body.right = state.right;
  if (state.wrong.length > 0) body.wrong = state.wrong;
  if (state.regions && canSearchRegions(state)) body.regions = true;
  if (state.noCopies) body.no_copies = true;
  return body;
}

function rerankOf({ rerank }) {
  if (rerank === null) return "default";
  return rerank.length > 0 ? rerank : "none";
}

/** Regions are those of one query image. */
export function canSearchRegions({ query, right, wrong }) {
  return query.length === 1 && query[0].wanted && right.length === 0 && wrong.length === 0;
}

/** Whether there is something to search for. */
export function isSearch({ query, right }) {
  return query.some(({ wanted }) => wanted) || right.length > 0;
}
