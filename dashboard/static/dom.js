// Elements from data. Text goes in as text nodes only, so nothing that a user wrote is ever read as HTML.

export const $ = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const option = (value, text, selected = false) => element("option", { value, selected }, text);

export const pageData = () => JSON.parse($("page-data").textContent);

export function badge(node, state) {
  node.className = `badge ${state}`;
  node.textContent = state;
}

/** At most one call per `wait` milliseconds; the last one is never dropped. */
export function throttle(action, wait) {
  let timer = null;
  let last = -Infinity;
  return () => {
    if (timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      last = performance.now();
      action();
    }, Math.max(0, last + wait - performance.now()));
  };
}

/** Resolves to whether the reader confirmed. */
export function confirmed(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}
