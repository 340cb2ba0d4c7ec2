/**
 * The HTTP API, as functions: JSON in, JSON out, problems as ApiError.
 *
 * @typedef {Record<string, string | number | boolean | null | undefined | (string | number)[]>} Params
 * @typedef {{params?: Params, signal?: AbortSignal, headers?: Record<string, string>}} Options
 */

import { toParams } from "./params.js";

const ROOT = "/api/v1";
const PATIENCE = 4; // Repeats of a request that the server was too busy for (503 with Retry-After).

/** What people read when no answer came. */
export const UNREACHABLE = "The server cannot be reached. Is kindred serve running?";

/** What went wrong with a request: the fields of the server's problem document (RFC 9457). */
export class ApiError extends Error {
  /**
   * @param {number} status 0 if the server could not be reached
   * @param {{title?: string, detail?: string, hint?: string, type?: string}} problem
   */
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.title = problem.title ?? "";
    this.hint = problem.hint ?? "";
    this.type = problem.type ?? "about:blank";
  }
}

/** Whether an error only says that its request was given up. */
export function aborted(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/**
 * The address of a path below the API; lists become repeated parameters, empty values are left out.
 * @param {string} path
 * @param {Params} [params]
 */
export function url(path, params) {
  const text = toParams(params ?? {}).toString();
  return ROOT + path + (text ? `?${text}` : "");
}

/** The address of an image's thumbnail, at least `size` pixels on its long side if the image has them. */
export function thumbnail(id, size = 256) {
  return url(`/images/${encodeURIComponent(id)}/thumbnail`, { size });
}

/** The address of an image's file, to download. */
export function file(id) {
  return url(`/images/${encodeURIComponent(id)}/file`);
}

/** The address of the thumbnail of an uploaded query image. */
export function uploadThumbnail(id, size = 512) {
  return url(`/uploads/${encodeURIComponent(id)}/thumbnail`, { size });
}

/**
 * Send a request and return the response, whose status is good.
 * @param {string} method
 * @param {string} path
 * @param {Options & {body?: BodyInit}} [options]
 * @returns {Promise<Response>}
 */
export async function request(method, path, options = {}) {
  const { params, signal, headers, body } = options;
  for (let attempt = 0; ; attempt += 1) {
    const response = await reached(url(path, params), { method, signal, headers, body, credentials: "same-origin" });
    if (response.ok) return response;
    if (response.status !== 503 || attempt >= PATIENCE) throw await problem(response);
    await pause(Number(response.headers.get("Retry-After")) || 1, signal);
  }
}

async function reached(address, init) {
  try {
    return await fetch(address, init);
  } catch (error) {
    if (aborted(error)) throw error;
    throw new ApiError(0, { title: "Not reachable", detail: UNREACHABLE });
  }
}

async function problem(response) {
  let fields = {};
  try {
    fields = await response.json();
  } catch {
    // Not JSON, such as the page of a proxy: the status has to do.
  }
  return new ApiError(response.status, typeof fields === "object" && fields ? fields : {});
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.min(seconds, 10) * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("given up", "AbortError"));
    }, { once: true });
  });
}

async function json(response) {
  return response.status === 204 ? null : response.json();
}

/** @param {string} path @param {Options} [options] */
export async function get(path, options) {
  return json(await request("GET", path, options));
}

/** @param {string} path @param {unknown} body @param {Options} [options] */
export async function post(path, body, options) {
  return send("POST", path, body, options);
}

/** @param {string} path @param {unknown} body @param {Options} [options] */
export async function patch(path, body, options) {
  return send("PATCH", path, body, options);
}

/** @param {string} path @param {unknown} [body] @param {Options} [options] */
export async function del(path, body, options) {
  return body === undefined ? json(await request("DELETE", path, options)) : send("DELETE", path, body, options);
}

async function send(method, path, body, options = {}) {
  const headers = { ...options.headers, "Content-Type": "application/json" };
  return json(await request(method, path, { ...options, headers, body: JSON.stringify(body ?? {}) }));
}

/**
 * Upload one image as the body of a request, such as a query image to /uploads.
 * @param {string} path
 * @param {Blob} blob
 * @param {Options} [options]
 */
export async function upload(path, blob, options = {}) {
  const headers = { ...options.headers, "Content-Type": blob.type || "application/octet-stream" };
  return json(await request("POST", path, { ...options, headers, body: blob }));
}

/** Download from an address of the server. */
export function follow(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

/**
 * Listen to Server-Sent Events, each with JSON as data.
 * @param {string} path
 * @param {Record<string, (data: any) => void>} listeners by the name of the event; `error` when the connection is lost for good
 * @returns {() => void} stops listening
 */
export function events(path, listeners) {
  const source = new EventSource(url(path));
  for (const [name, listener] of Object.entries(listeners)) {
    if (name === "error") continue;
    source.addEventListener(name, (event) => listener(JSON.parse(event.data)));
  }
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) listeners.error?.(null);
  });
  return () => source.close();
}
