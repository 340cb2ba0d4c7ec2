/** Parameters of addresses, of the page's own and of the API's. */

/**
 * Lists become repeated parameters; null, undefined, false and empty values are left out.
 * @param {Record<string, unknown>} values
 */
export function toParams(values) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "" && each !== false) params.append(name, String(each));
    }
  }
  return params;
}
