// Server-sent events: a stream of changes, and a light that says whether it flows.

import { $ } from "./dom.js";

const RETRY_MS = 3000;

/**
 * Calls `onChange({grid, runs})` for every change, and `onOpen()` whenever the stream (re)opens: what changed
 * while there was no stream is then fetched whole. A page that nobody sees holds no stream: browsers open few to a host.
 */
export function follow(gridId, { onOpen, onChange }) {
  let events = null;
  let retry = null;

  const say = (status) => {
    $("live").hidden = false;
    $("live").dataset.status = status;
    $("live").textContent = status;
  };
  const disconnect = () => {
    clearTimeout(retry);
    events?.close();
  };
  const connect = () => {
    disconnect();
    events = new EventSource(`/api/grids/${gridId}/events`);
    events.addEventListener("open", () => {
      say("live");
      onOpen();
    });
    events.addEventListener("change", (event) => onChange(JSON.parse(event.data)));
    events.addEventListener("error", () => {
      say("reconnecting");
      // The browser retries a broken stream itself, but gives up after an error answer.
      if (events.readyState === EventSource.CLOSED) retry = setTimeout(connect, RETRY_MS);
    });
  };
  const attend = () => (document.hidden ? disconnect() : connect());

  document.addEventListener("visibilitychange", attend);
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", (event) => event.persisted && attend());
  say("connecting");
  attend();
}
