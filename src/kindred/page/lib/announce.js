/** What changed, said to screen readers. */

import { fill } from "./dom.js";
import { companion } from "./layers.js";

/**
 * Announce a change; the same words twice are said twice.
 * @param {string} text
 * @param {{urgent?: boolean}} [options] urgent interrupts what is being said
 */
export function announce(text, options = {}) {
  const region = companion(options.urgent ? "assertive" : "polite");
  region.textContent = "";
  // A new text in the next frame, since an unchanged region is not read again.
  requestAnimationFrame(() => {
    fill(region, text);
  });
}
