// Panning and zooming, by pointer, wheel, fingers and keys. Holds where the picture is; what is in it, it does not know.
import { useEffect, useRef, useState } from "./html.js";

const MIN = 0.08;
const MAX = 1.6;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** `ref` goes on the window, `view` is `{x, y, scale}` of the picture in it. */
export function useViewport(size) {
  const ref = useRef(null);
  const [view, setView] = useState({ x: 24, y: 24, scale: 1 });
  const [touched, setTouched] = useState(false);
  const state = useRef(view);
  state.current = view;

  const zoomAt = (factor, px, py) => {
    setTouched(true);
    setView((old) => {
      const scale = clamp(old.scale * factor, MIN, MAX);
      const real = scale / old.scale;
      return { scale, x: px - (px - old.x) * real, y: py - (py - old.y) * real };
    });
  };
  const box = () => ref.current?.getBoundingClientRect() ?? { width: 800, height: 500, left: 0, top: 0 };
  const zoom = (factor) => zoomAt(factor, box().width / 2, box().height / 2);
  const pan = (dx, dy) => {
    setTouched(true);
    setView((old) => ({ ...old, x: old.x + dx, y: old.y + dy }));
  };
  const fit = () => {
    const { width, height } = box();
    const scale = clamp(Math.min((width - 48) / size.width, (height - 48) / size.height), MIN, 1);
    setView({ scale, x: Math.max(24, (width - size.width * scale) / 2), y: 24 });
    setTouched(false);
  };
  /** Moves just as far as it takes to show this rectangle of the picture. */
  const reveal = (x, y, width, height) => {
    const frame = box();
    setView((old) => {
      const left = old.x + x * old.scale;
      const top = old.y + y * old.scale;
      const dx = left < 12 ? 12 - left : Math.min(0, frame.width - 12 - (left + width * old.scale));
      const dy = top < 12 ? 12 - top : Math.min(0, frame.height - 12 - (top + height * old.scale));
      return dx || dy ? { ...old, x: old.x + dx, y: old.y + dy } : old;
    });
  };

  // As long as nobody has moved it, the picture fits.
  useEffect(() => {
    if (!touched) fit();
  }, [size.width, size.height, touched]);
  useEffect(() => {
    const observer = new ResizeObserver(() => !touched && fit());
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [size.width, size.height, touched]);

  useEffect(() => {
    const element = ref.current;
    const wheel = (event) => {
      event.preventDefault();
      const { left, top } = box();
      if (event.ctrlKey || event.metaKey) zoomAt(Math.exp(-event.deltaY / 200), event.clientX - left, event.clientY - top);
      else pan(-event.deltaX, -event.deltaY);
    };
    const fingers = new Map();
    const down = (event) => {
      if (event.button !== 0 || event.target.closest("[data-card], button, a")) {
        if (event.pointerType !== "touch") return;
      }
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
    };
    const move = (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const after = [event.clientX, event.clientY];
      if (fingers.size === 1) {
        if (Math.hypot(after[0] - before[0], after[1] - before[1]) > 0) {
          pan(after[0] - before[0], after[1] - before[1]);
          if (event.pointerType !== "touch" && !element.hasPointerCapture(event.pointerId)) element.setPointerCapture(event.pointerId);
        }
      } else if (fingers.size === 2) {
        const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
        const far = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
        const { left, top } = box();
        zoomAt(far(after) / far(before), (after[0] + other[0]) / 2 - left, (after[1] + other[1]) / 2 - top);
      }
      fingers.set(event.pointerId, after);
    };
    const up = (event) => fingers.delete(event.pointerId);
    element.addEventListener("wheel", wheel, { passive: false });
    element.addEventListener("pointerdown", down);
    element.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) element.addEventListener(name, up);
    return () => {
      element.removeEventListener("wheel", wheel);
      element.removeEventListener("pointerdown", down);
      element.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel", "pointerleave"]) element.removeEventListener(name, up);
    };
  }, []);

  return { ref, view, zoom, pan, fit, reveal, scale: () => state.current.scale };
}
