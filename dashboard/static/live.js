// Server-sent events: a stream of changes, and a light that says whether it flows.

import { $ } from "./dom.js";

const RETRY_MS = 3000;

/**
 * Calls `onChange({grid, runs})` for every change, and `onOpen()` whenever the stream (re)opens: what changed
 * while there was no stream is then fetched whole.
 */
export function follow(gridId, { onOpen, onChange }) {
  const light = $("live");
  light.hidden = false;
  const say = (status) => {
    light.dataset.status = status;
    light.textContent = status;
  };
  const connect = () => {
    const events = new EventSource(`/api/grids/${gridId}/events`);
    events.addEventListener("open", () => {
      say("live");
      onOpen();
    });
    events.addEventListener("change", (event) => onChange(JSON.parse(event.data)));
    events.addEventListener("error", () => {
      say("reconnecting");
      // The browser retries a broken stream itself, but gives up after an error answer.
      if (events.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
    });
    addEventListener("pagehide", () => events.close(), { once: true });
  };
  say("connecting");
  connect();
}
