// Pictograms, drawn here: strokes on a 16-unit grid. They never stand alone; a word is beside them or in the name.
import { html } from "../lib/html.js";

const PATHS = {
  map: "M8 2.500v3M8 5.500H3.500v3M8 5.500h4.500v3M2 8.500h3v3H2zM11 8.500h3v3h-3zM6.500 8.500h3v3h-3zM8 5.500v3M6.500 1h3v1.500h-3z",
  check: "M3 8.500l3.500 3.500L13 4.500",
  inbox: "M2 9l2-6h8l2 6v4H2zM2 9h3.500l1 2h3l1-2H14",
  key: "M5.500 10.500a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8.500 7.500H14.500v2.500M11.500 7.500v2",
  log: "M3 3h10M3 6.500h10M3 10h7M3 13.500h5",
  shield: "M8 1.500l5 2v4c0 3.500-2.200 5.600-5 7-2.800-1.400-5-3.500-5-7v-4z",
  people: "M6 7.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM1.500 13.500c0-2.500 2-4 4.500-4s4.500 1.500 4.500 4M10.500 2.800a2.500 2.500 0 0 1 0 4.500M12 9.800c1.500.500 2.500 1.800 2.500 3.700",
  token: "M2 5h12v6H2zM5 8h.01M8 8h.01M11 8h.01",
  gear: "M8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM8 1.500v2M8 12.500v2M1.500 8h2M12.500 8h2M3.400 3.400l1.400 1.400M11.200 11.200l1.400 1.400M3.400 12.600l1.400-1.400M11.200 4.800l1.400-1.400",
  lock: "M4 7h8v7H4zM5.500 7V5a2.500 2.500 0 0 1 5 0v2",
  plus: "M8 3v10M3 8h10",
  x: "M4 4l8 8M12 4l-8 8",
  right: "M6 3l5 5-5 5",
  down: "M3 6l5 5 5-5",
  more: "M3.500 8h.01M8 8h.01M12.500 8h.01",
  play: "M5 3l8 5-8 5z",
  pause: "M5 3v10M11 3v10",
  stop: "M4 4h8v8H4z",
  restart: "M13 8a5 5 0 1 1-1.500-3.500M13 2v3h-3",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 5v3.500l2 1.500",
  alert: "M8 2l6.500 11.500h-13zM8 6.500v3M8 11.500h.01",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7.500v3M8 5.200h.01",
  send: "M2 8l12-5-4 11-2.500-4.500zM7.500 9.500L14 3",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.800 10.800L14 14",
  download: "M8 2v8M4.500 7L8 10.500 11.500 7M2.500 13.500h11",
  undo: "M3 6h6a4 4 0 0 1 0 8H6M5.500 3L2.500 6l3 3",
  trash: "M3 4.500h10M6 4.500v-2h4v2M4.500 4.500l.500 9h6l.500-9",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  moon: "M13.500 9.500A6 6 0 1 1 6.500 2.500a5 5 0 0 0 7 7z",
  out: "M6 2.500H2.500v11H6M10 5l3 3-3 3M13 8H6",
  user: "M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.500 14c0-3 2.500-4.500 5.500-4.500s5.500 1.500 5.500 4.500",
  dot: "M8 10.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z",
  half: "M8 13A5 5 0 1 0 8 3a5 5 0 0 0 0 10zM8 3v10",
  off: "M8 13A5 5 0 1 0 8 3a5 5 0 0 0 0 10z",
  minus: "M3 8h10",
  fit: "M2.500 6V2.500H6M10 2.500h3.500V6M13.500 10v3.500H10M6 13.500H2.500V10",
  edit: "M3 13l.500-3L11 2.500 13.500 5 6 12.500z",
  list: "M5.500 4H14M5.500 8H14M5.500 12H14M2.500 4h.01M2.500 8h.01M2.500 12h.01",
  chat: "M2 3h12v8H7l-3 3v-3H2z",
};

export function Icon({ name, size = 16 }) {
  return html`<svg class="icon" width=${size} height=${size} viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.500"
    stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
