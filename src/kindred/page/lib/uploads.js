/** The sizes of uploaded query images, for as long as the tab is open; a reload of the page does not lose them. */

const KEY = "kindred.uploads";
const AT_MOST = 200;

/** @param {{upload: string, width: number, height: number}} uploaded the server's answer */
export function rememberUpload({ upload, width, height }) {
  const all = read().filter(([id]) => id !== upload);
  try {
    sessionStorage.setItem(KEY, JSON.stringify([...all, [upload, width, height]].slice(-AT_MOST)));
  } catch {
    // Storage may be blocked; the part of an upload can then not be chosen after a reload.
  }
  sizes.set(upload, { width, height });
}

/** @param {string} id @returns {{width: number, height: number} | null} in pixels of the upright image */
export function uploadSize(id) {
  if (sizes.has(id)) return sizes.get(id);
  const found = read().find(([each]) => each === id);
  return found ? { width: found[1], height: found[2] } : null;
}

/** @type {Map<string, {width: number, height: number}>} */
const sizes = new Map();

function read() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(stored) ? stored.filter(Array.isArray) : [];
  } catch {
    return [];
  }
}
