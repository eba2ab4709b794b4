// The map: cards, the lines between them, and how one moves about: drag, wheel, fingers, arrows.
import { html, useEffect, useMemo, useRef, useState } from "../lib/html.js";
import { CARD, layout } from "../lib/layout.js";
import { useViewport } from "../lib/viewport.js";
import { below } from "../lib/org.js";
import { duration } from "../lib/format.js";
import { go } from "../lib/route.js";
import { Button, Since } from "./basic.js";
import { stateOf } from "./state.js";
import { Icon } from "./icon.js";

/** How far a card is dragged before it is a move and not a click, in pixels. */
const DRAG = 8;

export function MapView({ organisation, waiting, selected, onSelect, matches, onMove, canMove }) {
  const [shape, setShape] = useState(1.7);
  const plan = useMemo(() => layout(organisation, shape), [organisation.list, shape]);
  const viewport = useViewport(plan);
  const { view } = viewport;
  const [drag, setDrag] = useState(null);
  const frame = viewport.ref;
  const places = useMemo(() => new Map(plan.cards.map((card) => [card.id, card])), [plan]);
  const active = selected && places.has(selected) ? selected : organisation.root?.id;

  useEffect(() => {
    const { width, height } = frame.current.getBoundingClientRect();
    if (height > 0) setShape(Math.round((width / height) * 5) / 5);
  }, []);
  useEffect(() => {
    const card = places.get(selected);
    if (card) viewport.reveal(card.x, card.y, CARD.width, CARD.height);
    // Once for each that is selected: what changes later does not pull the view back.
  }, [selected, places.has(selected)]);

  const focusCard = (id) => {
    onSelect(id);
    requestAnimationFrame(() => frame.current?.querySelector(`[data-card="${id}"]`)?.focus({ preventScroll: true }));
  };
  const keys = (event) => {
    const { key } = event;
    if (key === "+" || key === "=") viewport.zoom(1.25);
    else if (key === "-") viewport.zoom(0.8);
    else if (key === "0") viewport.fit();
    else if (event.target.dataset.card === undefined && key.startsWith("Arrow")) {
      viewport.pan(key === "ArrowLeft" ? 60 : key === "ArrowRight" ? -60 : 0, key === "ArrowUp" ? 60 : key === "ArrowDown" ? -60 : 0);
    } else if (key.startsWith("Arrow")) {
      const to = neighbour(plan.cards, places.get(event.target.dataset.card), key);
      if (to) focusCard(to.id);
    } else if (key === "Enter" && event.target.dataset.card) go(`/console/workspaces/${event.target.dataset.card}`);
    else if (key === "Escape") dropped.current?.();
    else return;
    event.preventDefault();
  };

  const dropped = useRef(null);
  const begin = (event, id) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    const own = { id, x: event.clientX, y: event.clientY, dx: 0, dy: 0, over: null, moving: false };
    const forbidden = new Set([id, ...below(organisation, id).map((one) => one.id), organisation.byId.get(id)?.parent_id]);
    const move = (later) => {
      own.dx = later.clientX - own.x;
      own.dy = later.clientY - own.y;
      own.moving ||= canMove && organisation.byId.get(id)?.kind !== "platform" && Math.hypot(own.dx, own.dy) > DRAG;
      const under = document.elementsFromPoint(later.clientX, later.clientY).map((element) => element.closest("[data-card]")?.dataset.card).find((card) => card && card !== id);
      own.over = under && !forbidden.has(under) ? under : null;
      if (own.moving) setDrag({ ...own });
    };
    const letGo = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", letGo);
      dropped.current = null;
      setDrag(null);
    };
    const end = () => {
      letGo();
      if (!own.moving) onSelect(id);
      else if (own.over) onMove(id, own.over);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", letGo);
    dropped.current = letGo;
  };

  const level = view.scale < 0.42 ? "far" : view.scale < 0.7 ? "middle" : "near";
  const transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  return html`<div class="map-frame"><div class=${`map ${level}${drag ? " dragging" : ""}`} ref=${frame} onKeyDown=${keys} role="group" aria-label="Organisation map" tabindex="0" data-control="map.surface">
      <div class="map-sheet" style=${{ transform, width: `${plan.width}px`, height: `${plan.height}px` }}>
        <svg class="map-lines" width=${plan.width} height=${plan.height} aria-hidden="true">${plan.lines.map((line, i) => html`<polyline key=${i} points=${line.map((point) => point.join(",")).join(" ")} />`)}</svg>
        <div role="tree" aria-label="Workspaces">${plan.cards.map((place) => {
          const workspace = organisation.byId.get(place.id);
          const moved = drag?.id === place.id ? drag : null;
          return html`<${Card} key=${place.id} workspace=${workspace} place=${place} waiting=${waiting.get(place.id) ?? 0} selected=${selected === place.id} active=${active === place.id} dim=${matches && !matches(workspace)}
            target=${drag?.over === place.id} moved=${moved} scale=${view.scale} onDown=${begin} onSelect=${onSelect} />`;
        })}</div></div></div>
    <div class="map-zoom" role="group" aria-label="Zoom"><${Button} control="map.zoom-in" icon="plus" label="Zoom in" onClick=${() => viewport.zoom(1.25)} />
      <${Button} control="map.zoom-out" icon="minus" label="Zoom out" onClick=${() => viewport.zoom(0.8)} /><${Button} control="map.fit" icon="fit" label="Show everything" onClick=${() => viewport.fit()} /></div>
    <p class="map-help fine">Drag to move about, Ctrl and wheel to zoom. Arrows walk, Enter opens${canMove ? "; drop a card on another to move it there" : ""}.</p></div>`;
}

/** The nearest card in the direction of an arrow. What is only indented is in the same column still. */
function neighbour(cards, from, key) {
  if (!from) return cards[0];
  const along = key === "ArrowLeft" || key === "ArrowRight" ? "x" : "y";
  const least = (along === "x" ? CARD.width : CARD.height) / 2;
  const across = along === "x" ? "y" : "x";
  const sign = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
  let best = null;
  for (const card of cards) {
    const ahead = (card[along] - from[along]) * sign;
    if (ahead < least) continue;
    const distance = ahead + 2.5 * Math.abs(card[across] - from[across]);
    if (!best || distance < best.distance) best = { card, distance };
  }
  return best?.card ?? null;
}

function Card({ workspace, place, waiting, selected, active, dim, target, moved, scale, onDown, onSelect }) {
  const { icon, tone, word } = stateOf(workspace.status, workspace.runtime);
  const root = workspace.kind === "platform";
  const shift = moved ? `translate(${moved.dx / scale}px, ${moved.dy / scale}px)` : undefined;
  const classes = ["map-card", tone, root && "root", selected && "selected", dim && "dim", target && "target", moved && "moved"].filter(Boolean).join(" ");
  return html`<div class=${classes} role="treeitem" aria-level=${place.depth + 1} aria-selected=${selected} tabindex=${active ? 0 : -1} data-card=${workspace.id} data-control="map.card"
      style=${{ left: `${place.x}px`, top: `${place.y}px`, transform: shift }} onPointerDown=${(event) => onDown(event, workspace.id)} onClick=${(event) => event.pointerType === "touch" && onSelect(workspace.id)}>
    <span class="map-state"><${Icon} name=${icon} size=${18} /></span>
    <span class="map-name">${workspace.name}</span>
    <span class="map-line">${root && html`<span class="badge info">root</span> `}<span class="map-word">${word}</span>${workspace.turn_since ? html` · <span class="map-turn">turn <${Since} at=${workspace.turn_since}>${duration}<//></span>` : null}${workspace.queued > 0 ? html` · ${workspace.queued} queued` : !workspace.turn_since && workspace.role ? html` · ${workspace.role}` : null}</span>
    <span class="map-marks">${workspace.restart_debt && html`<span class="map-mark debt" title="Restart debt: it runs on something older than it should"><${Icon} name="restart" size=${12} /><span class="hidden-text"> restart debt</span></span>`}${waiting > 0 && html`<span class="map-mark pending" title="Requests that wait for a human"><${Icon} name="inbox" size=${12} />${waiting}<span class="hidden-text"> waiting</span></span>`}</span></div>`;
}
