/** A search and its pages: sends requests, keeps the answers, and forgets those of a search that was replaced. */

import { searchBody } from "./state.js";

const PAGE = 60;
const BASELINE = 240; // Places compared with when the effect of re-ranking is shown.

export class Search {
  /**
   * @param {import("../../app.js").Context} context
   * @param {{changed: () => void}} options
   */
  constructor({ api }, { changed }) {
    Object.assign(this, { api, changed, key: "", running: false, error: null, more: false, seconds: 0, fresh: false, stale: false });
    /** @type {import("../../lib/images.js").Image[]} */
    this.answers = [];
    /** @type {import("../../lib/images.js").Image[] | null} */
    this.baseline = null;
    this.abort = new AbortController();
  }

  /**
   * Search for what a state asks for.
   * @param {import("./state.js").State} state
   * @returns {boolean} false if that was searched for already
   */
  start(state) {
    const key = JSON.stringify(searchBody(state, { k: PAGE, offset: 0 }));
    this.state = state;
    if (key === this.key) {
      if (state.changes && !this.baseline) void this.compare();
      return false;
    }
    this.stop();
    this.key = key;
    this.stale = this.answers.length > 0;
    this.offset = 0;
    this.baseline = null;
    void this.next();
    return true;
  }

  /** Give up what is running. */
  stop() {
    this.abort.abort();
    this.abort = new AbortController();
    this.running = false;
    this.key = "";
  }

  /** The same search again, after an error. */
  again() {
    const { state } = this;
    this.stop();
    this.start(state);
  }

  /** Fetch the next page. */
  async next() {
    const { signal } = this.abort;
    const first = this.offset === 0;
    this.running = true;
    this.error = null;
    this.changed();
    try {
      const found = await this.api.post("/search", searchBody(this.state, { k: PAGE, offset: this.offset }), { signal });
      if (signal.aborted) return;
      this.take(found, first);
      if (first && this.state.changes) void this.compare();
    } catch (error) {
      if (this.api.aborted(error) || signal.aborted) return;
      Object.assign(this, { error, answers: first ? [] : this.answers, more: false, stale: false });
    }
    this.running = false;
    this.changed();
  }

  take(found, first) {
    const known = first ? [] : this.answers;
    const seen = new Set(known.map(({ id }) => id));
    this.answers = [...known, ...found.results.filter(({ id }) => !seen.has(id))];
    this.seconds = first ? found.seconds : this.seconds;
    this.offset = found.next_offset ?? this.offset;
    this.more = found.next_offset !== null && found.next_offset !== undefined && found.results.length > 0;
    this.fresh = first;
    this.stale = false;
  }

  /** The order by descriptors alone, to compare the present one with. */
  async compare() {
    const { signal } = this.abort;
    const body = searchBody({ ...this.state, rerank: [] }, { k: BASELINE, offset: 0 });
    try {
      const { results } = await this.api.post("/search", body, { signal });
      this.baseline = results;
      this.changed();
    } catch (error) {
      if (!this.api.aborted(error)) throw error;
    }
  }
}
