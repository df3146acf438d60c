// REST, and what a page says when it does not answer.

import { $ } from "./dom.js";

async function request(path, init) {
  const response = await fetch(path, init).catch(() => {
    throw new Error("The service does not answer. What is shown may be old.");
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `The service answered ${response.status} to ${path}.`);
  return body;
}

export const get = (path) => request(path);
export const post = (path) => request(path, { method: "POST" });

/** `{a: 1, b: [2, 3]}` -> `a=1&b=2&b=3`; empty values are left out. */
export function query(parameters) {
  const pairs = Object.entries(parameters).flatMap(([key, value]) => [value].flat().map((one) => [key, one]));
  return new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined)).toString();
}

/** Runs an update; its error is shown on the page until an update succeeds. */
export async function shown(update) {
  const alert = $("alert");
  try {
    await update();
    alert.hidden = true;
  } catch (error) {
    alert.textContent = error.message;
    alert.hidden = false;
  }
}
