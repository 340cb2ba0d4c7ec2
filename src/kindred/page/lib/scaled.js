/**
 * A scrollbar for heights that no browser lays out.
 *
 * Firefox ignores heights above 17.9 million px, Chromium above 16.7 to 33.5 million. So the element is `limit` px high
 * at most, and its content, `total` px high, is cut into pages whose offset is subtracted from every position. A small
 * movement (wheel, finger, keys) moves the content by just as much; a large one (the scrollbar's thumb) moves it in
 * proportion.
 */

const LIMIT = 8_000_000;
const PAGES = 100; // Pages within the limit.

export class ScaledScroll {
  /**
   * @param {number} total height of the content in px
   * @param {number} view height of the window in px
   * @param {number} [limit] of the element's height in px
   */
  constructor(total, view, limit = LIMIT) {
    this.total = total;
    this.view = view;
    this.height = Math.min(total, limit);
    this.page = this.height / PAGES;
    this.pages = Math.max(2, Math.floor(total / this.page));
    this.step = (total - this.height) / (this.pages - 1);
    this.offset = 0;
    this.last = 0;
  }

  /** The position in the content that the window begins at. */
  get position() {
    return this.last + this.offset;
  }

  /**
   * Go to a position in the content.
   * @param {number} position px
   * @returns {number} where the element has to be scrolled to
   */
  to(position) {
    const within = Math.max(0, Math.min(position, this.total - this.view));
    this.offset = this.#offsetOf(within);
    this.last = within - this.offset;
    return this.last;
  }

  /**
   * Follow the element, which was scrolled to y.
   * @param {number} y px
   * @returns {number} where it has to be scrolled to instead: y, or elsewhere when another page begins
   */
  moved(y) {
    if (this.total <= this.height) {
      this.last = y;
      return y;
    }
    if (Math.abs(y - this.last) < this.view) return y <= 0 ? this.to(0) : this.to(y + this.offset);
    const share = (this.total - this.view) / Math.max(1, this.height - this.view);
    this.offset = this.#offsetOf(y * share);
    this.last = y;
    return y;
  }

  #offsetOf(position) {
    if (this.total <= this.height) return 0;
    return Math.round(Math.max(0, Math.min(this.pages - 1, Math.floor(position / this.page))) * this.step);
  }
}
