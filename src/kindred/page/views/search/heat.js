/** A map of numbers as colour over an image: the higher, the brighter. */

/**
 * The numbers as RGBA, from a dark veil (lowest) to a clear, warm view (highest).
 * @param {number[][]} rows
 * @returns {{width: number, height: number, data: Uint8ClampedArray}}
 */
export function heatColours(rows) {
  const values = rows.flat();
  const low = Math.min(...values);
  const range = Math.max(...values) - low || 1;
  const data = new Uint8ClampedArray(values.length * 4);
  for (const [at, value] of values.entries()) {
    const share = (value - low) / range;
    const warm = Math.max(0, (share - 0.6) / 0.4);
    data.set([255 * warm, 190 * warm, 60 * warm, 255 * (share < 0.6 ? 0.72 * (1 - share / 0.6) : 0.38 * warm)], at * 4);
  }
  return { width: rows[0]?.length ?? 0, height: rows.length, data };
}

/** @param {HTMLCanvasElement} canvas stretched over the image by its rules @param {number[][]} rows */
export function drawHeat(canvas, rows) {
  const { width, height, data } = heatColours(rows);
  if (width === 0) return;
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
}
