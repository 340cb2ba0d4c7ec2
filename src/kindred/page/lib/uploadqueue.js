/**
 * Images on their way into the library: sent two at a time, each with its progress; it goes on while other views are
 * shown. What fails for want of a connection can be tried again; the server recognises what it has.
 *
 * @typedef {"waiting" | "sending" | "storing" | "added" | "present" | "refused" | "failed"} State
 * @typedef {{file: File, name: string, size: number, sent: number, state: State, reason: string, id: string | null}} Item
 *   sent: bytes; reason: why it was refused or has failed
 */

const AT_ONCE = 2;
const PATIENCE = 20; // repeats of a request that the server was too busy for

export class UploadQueue {
  /** @param {typeof import("./api.js")} api */
  constructor(api) {
    this.api = api;
    /** @type {Item[]} */
    this.items = [];
    /** Tags for images that are added from now on. @type {string[]} */
    this.tags = [];
    this.running = new Set();
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    addEventListener("beforeunload", (event) => this.busy && event.preventDefault());
  }

  /** Whether files wait or are on their way. */
  get busy() {
    return this.items.some(({ state }) => state === "waiting" || state === "sending" || state === "storing");
  }

  /** How many items are in each state. @returns {Record<State, number>} */
  get counts() {
    const counts = { waiting: 0, sending: 0, storing: 0, added: 0, present: 0, refused: 0, failed: 0 };
    for (const { state } of this.items) counts[state] += 1;
    return counts;
  }

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) {
      this.items.push({ file, name: file.name, size: file.size, sent: 0, state: "waiting", reason: "", id: null });
    }
    this.#changed();
    this.#next();
  }

  /** Send again what has failed. */
  retry() {
    for (const item of this.items) if (item.state === "failed") Object.assign(item, { state: "waiting", reason: "", sent: 0 });
    this.#changed();
    this.#next();
  }

  /** Send nothing more; what was added remains. */
  cancel() {
    this.items = this.items.filter(({ state }) => state !== "waiting");
    for (const request of this.running) request.abort();
    this.#changed();
  }

  /** Forget what has ended. */
  clear() {
    this.items = this.items.filter(({ state }) => state === "waiting" || state === "sending" || state === "storing");
    this.#changed();
  }

  /** Be called after each change. @returns {() => void} ends it */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  #changed() {
    for (const listener of [...this.listeners]) listener();
  }

  #next() {
    while (this.running.size < AT_ONCE) {
      const item = this.items.find(({ state }) => state === "waiting");
      if (!item) return;
      this.#send(item, [...this.tags], 0);
    }
  }

  #send(item, tags, attempt) {
    item.state = "sending";
    item.sent = 0;

    const request = new XMLHttpRequest();
    request.open("POST", this.api.url("/images", { name: item.name, tag: tags }));
    request.setRequestHeader("Content-Type", item.file.type.startsWith("image/") ? item.file.type : "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", ({ loaded }) => {
      item.sent = Math.min(loaded, item.size);
      this.#changed();
    });
    request.upload.addEventListener("load", () => {
      Object.assign(item, { sent: item.size, state: "storing" });
      this.#changed();
    });
    request.addEventListener("loadend", () => {
      this.running.delete(request);
      const wait = request.status === 503 && attempt < PATIENCE ? Number(request.getResponseHeader("Retry-After")) || 1 : 0;
      if (wait) setTimeout(() => this.#send(item, tags, attempt + 1), wait * 1000);
      else this.#ended(item, outcome(request));
    });
    this.running.add(request);
    request.send(item.file);
    this.#changed();
  }

  #ended(item, end) {
    Object.assign(item, end);
    this.#changed();
    this.#next();
  }
}

/** What became of a file, from the answer of the server. */
function outcome({ status, response }) {
  const file = status >= 200 && status < 300 ? response?.files?.[0] : null;
  if (file) return { state: file.status, reason: file.reason ?? "", id: file.id };
  if (status === 0) return { state: "failed", reason: "The server could not be reached" };
  const refused = status === 413 || status === 422 || status === 403;
  return { state: refused ? "refused" : "failed", reason: response?.detail ?? `The server answered ${status}` };
}

/**
 * The files of a drop, with those of dropped folders.
 * @param {DataTransfer} transfer
 * @returns {Promise<File[]>}
 */
export async function droppedFiles(transfer) {
  // The list of items is empty after the first pause, so all entries are taken at once.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files];
  const found = [];
  for (const entry of entries) await walk(entry, found, true);
  return found;
}

const IMAGE = /\.(avif|bmp|gif|heic|heif|jfif|jpe|jpe?g|jxl|png|tiff?|webp|3fr|arw|cr2|cr3|dng|nef|orf|pef|raf|rw2|srw)$/i;

/** A file that was dropped itself is sent whatever its name; of a folder, only images are. */
async function walk(entry, found, given) {
  if (entry.isFile) {
    if (!given && (!IMAGE.test(entry.name) || entry.name.startsWith("."))) return;
    found.push(await new Promise((resolve, reject) => { entry.file(resolve, reject); }));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (some.length === 0) return;
    for (const each of some) await walk(each, found, false);
  }
}

let queue = null;

/** The one queue of the page. @param {typeof import("./api.js")} api @returns {UploadQueue} */
export function uploadQueue(api) {
  queue ??= new UploadQueue(api);
  return queue;
}
