// The one place where the view library is named. `html` makes elements from templates; text in it is always text.
import { h, render, Fragment, createContext } from "../vendor/preact.js";
import { useContext, useEffect, useId, useLayoutEffect, useMemo, useRef, useState, useCallback } from "../vendor/hooks.js";
import htm from "../vendor/htm.js";

export const html = htm.bind(h);
export { render, Fragment, createContext };
export { useContext, useEffect, useId, useLayoutEffect, useMemo, useRef, useState, useCallback };
