// Every request to the service: JSON in, JSON out, its problems as errors, and signing in when it asks for that.

import { signIn } from "./signin.js";

const PATIENCE = 4;

/** What the service refused (RFC 9457), or status 0 where it did not answer. `fields`: [{pointer, detail}]. */
export class Problem extends Error {
  constructor(status, document = {}) {
    super(document.detail || document.title || `The service answered ${status}.`);
    this.status = status;
    this.type = document.type || "";
    this.fields = document.errors || [];
  }
}

export const get = (path, options) => request("GET", path, options);
export const post = (path, json, options) => request("POST", path, { json, ...options });
export const remove = (path) => request("DELETE", path);

/** The answer's JSON. A session that has ended is begun again, and the request repeated: no form is lost by it. */
export async function request(method, path, options = {}) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json();
}

/** A response that is no error, whose body is still to be read. */
export async function send(method, path, { json, headers = {}, signal } = {}) {
  const body = json === undefined ? undefined : JSON.stringify(json);
  const all = body === undefined ? headers : { "Content-Type": "application/json", ...headers };
  for (let attempt = 1; ; attempt += 1) {
    const response = await answered(path, { method, body, headers: all, signal });
    if (response.ok) return response;
    if (response.status === 401) await signIn();
    else if (response.status === 429 && method === "GET" && attempt < PATIENCE) await sleep(retryAfter(response));
    else throw new Problem(response.status, await problemDocument(response));
  }
}

async function answered(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The service does not answer. Is it running, and is the network there?" });
  }
}

async function problemDocument(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { title: `The service answered ${response.status}.` }; // a proxy before it, which speaks HTML
  }
}

/** All items of a listing; `onPage` sees them as they come. */
export async function all(path, params = {}, onPage = () => {}) {
  const items = [];
  let cursor = null;
  do {
    const query = new URLSearchParams(cursor ? { ...params, cursor } : params);
    const page = await get(`${path}?${query}`);
    items.push(...page.data);
    onPage(page.data);
    cursor = page.next_cursor;
  } while (cursor);
  return items;
}

/** Sends a form with its files; `onProgress` gets fractions 0-1, which fetch does not tell. */
export async function upload(path, form, onProgress) {
  for (;;) {
    const { status, document } = await sendForm(path, form, onProgress);
    if (status < 400 && status !== 0) return document;
    if (status !== 401) throw new Problem(status, document);
    await signIn();
  }
}

function sendForm(path, form, onProgress) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.upload.addEventListener(
      "progress",
      (event) => event.lengthComputable && onProgress(event.loaded / event.total),
    );
    request.addEventListener("load", () => resolve({ status: request.status, document: parsed(request) }));
    request.addEventListener("error", () =>
      resolve({ status: 0, document: { detail: "The connection broke before the file was through. Try again." } }),
    );
    request.send(form);
  });
}

function parsed(request) {
  try {
    return JSON.parse(request.responseText);
  } catch {
    return { title: `The service answered ${request.status}.` };
  }
}

function retryAfter(response) {
  return 1000 * Math.max(1, Number(response.headers.get("Retry-After")) || 1);
}

export function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
