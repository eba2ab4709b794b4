// The frame: navigation, who is signed in, the connection; and which page belongs to an address.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/html.js";
import { session, loadSession, post, Unreachable } from "../lib/api.js";
import { useSignal } from "../lib/signal.js";
import { address, match, go } from "../lib/route.js";
import { connection } from "../lib/live.js";
import { forget } from "../lib/query.js";
import { PENDING_MAX, usePending } from "../lib/pending.js";
import { Button, Dialog, Loading, Problem } from "./basic.js";
import { Icon } from "./icon.js";
import { NotFound } from "./not_found.js";
import { say, Toasts } from "./toast.js";
import { drafts } from "../lib/drafts.js";
import { Prompts } from "./prompts.js";
import { ThemeSwitch } from "./theme.js";
import { SignIn, ClaimOwner, AcceptInvite } from "./door.js";
import { MapPage } from "../pages/map.js";
import { WorkspacePage } from "../pages/workspace.js";
import { ApprovalsPage } from "../pages/approvals.js";
import { SharedSecretsPage } from "../pages/shared_secrets.js";
import { AuditPage } from "../pages/audit.js";
import { PoliciesPage } from "../pages/policies.js";
import { OperatorsPage } from "../pages/operators.js";
import { TokensPage } from "../pages/tokens.js";
import { SettingsPage } from "../pages/settings.js";

const NAVIGATION = [
  { to: "/console", control: "nav.map", icon: "map", text: "Organisation" },
  { to: "/console/approvals", control: "nav.approvals", icon: "inbox", text: "Approvals" },
  { to: "/console/secrets", control: "nav.secrets", icon: "key", text: "Shared secrets" },
  { to: "/console/audit", control: "nav.audit", icon: "log", text: "Audit" },
  { to: "/console/policies", control: "nav.policies", icon: "shield", text: "Policies" },
  { to: "/console/operators", control: "nav.operators", icon: "people", text: "Operators" },
  { to: "/console/tokens", control: "nav.tokens", icon: "token", text: "Tokens" },
  { to: "/console/settings", control: "nav.settings", icon: "gear", text: "Settings" },
];
/** What a phone shows at the bottom; the rest is behind "More". */
const BOTTOM = [
  { to: "/console", control: "bottom.map", icon: "map", text: "Map" },
  { to: "/console/approvals", control: "bottom.approvals", icon: "inbox", text: "Approvals" },
  { to: "/console/audit", control: "bottom.audit", icon: "log", text: "Audit" },
];

const PAGES = [
  ["/console", "Organisation", MapPage],
  ["/console/workspaces/:id", "Workspace", WorkspacePage],
  ["/console/workspaces/:id/:tab", "Workspace", WorkspacePage],
  ["/console/approvals", "Approvals", ApprovalsPage],
  ["/console/approvals/:approval", "Approval", ApprovalsPage],
  ["/console/secrets", "Shared secrets", SharedSecretsPage],
  ["/console/audit", "Audit", AuditPage],
  ["/console/audit/:seq", "Audit event", AuditPage],
  ["/console/policies", "Policies", PoliciesPage],
  ["/console/policies/:tab", "Policies", PoliciesPage],
  ["/console/operators", "Operators", OperatorsPage],
  ["/console/tokens", "Tokens", TokensPage],
  ["/console/settings", "Settings", SettingsPage],
];

function pageOf(path) {
  for (const [pattern, title, page] of PAGES) {
    const parameters = match(pattern, path);
    if (parameters) return { title, page, parameters };
  }
  return null;
}

export function App() {
  const who = useSignal(session);
  const { path } = useSignal(address);
  if (path === "/claim") return html`<${ClaimOwner} /><${Toasts} />`;
  if (path === "/invite") return html`<${AcceptInvite} /><${Toasts} />`;
  if (who === undefined) return html`<${Starting} />`;
  if (who === null) return html`<${SignIn} /><${Toasts} />`;
  return html`<${Shell} key=${who.operator.id} who=${who} path=${path} />`;
}

/** Before anything is known. A server that does not answer is said, and asked again. */
function Starting() {
  const [error, set] = useState(null);
  useEffect(() => {
    const timer = setInterval(() => loadSession().then(() => set(null), (problem) => set(problem)), 2000);
    return () => clearInterval(timer);
  }, []);
  return html`<main class="door">${error ? html`<div class="card"><${Problem} error=${new Unreachable()} /><p>Trying again every two seconds.</p></div>` : html`<${Loading} what="Starting" />`}</main>`;
}

const CONNECTION = {
  off: "not connected",
  connecting: "connecting",
  live: "live",
  reconnecting: "reconnecting",
  polling: "offline, asking every 10 s",
};

export function Connection() {
  const state = useSignal(connection);
  return html`<span class=${`connection ${state}`} role="status" data-state=${state}>${CONNECTION[state]}</span>`;
}

function Shell({ who, path }) {
  const page = pageOf(path);
  const pending = usePending();
  const waiting = pending.data?.length ?? 0;
  const shownWaiting = waiting >= PENDING_MAX ? `${PENDING_MAX}+` : waiting;
  const main = useRef(null);
  const [more, setMore] = useState(false);
  const shown = useRef(path);

  useEffect(() => {
    document.title = `${waiting > 0 ? `(${shownWaiting}) ` : ""}${page?.title ?? "Not found"} · Portcullis`;
  }, [waiting, page?.title]);
  useLayoutEffect(() => {
    // A new page is announced to who cannot see it; a tab of the same page is not.
    if (pageOf(shown.current)?.page !== page?.page) main.current?.focus({ preventScroll: true });
    shown.current = path;
    setMore(false);
  }, [path]);

  const current = (to) => (to === "/console" ? path === to || path.startsWith("/console/workspaces") : path.startsWith(to));
  const out = async () => {
    try {
      await post("/auth/logout", undefined, { plain: true });
    } catch (error) {
      if (error.status !== 401) {
        say("You are still signed in: the server could not end your session.", { tone: "bad" });
        return;
      }
    }
    drafts.clear();
    session.set(null);
    forget();
    go("/console", { anyway: true });
  };
  const Page = page?.page;
  return html`<a class="skip" href="#main" data-control="skip" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to content</a>
  <div class="shell">
    <header class="side">
      <a class="brand" href="/console" data-control="nav.home"><${Logo} /> Portcullis</a>
      <nav aria-label="Main">${NAVIGATION.map((item) => html`<a key=${item.to} href=${item.to} data-control=${item.control} aria-current=${current(item.to) ? "page" : undefined}>
        <${Icon} name=${item.icon} /> ${item.text}${item.icon === "inbox" && waiting > 0 && html`<span class="count">${shownWaiting}<span class="hidden-text"> waiting</span></span>`}</a>`)}</nav>
      <div class="side-foot">
        <${Connection} />
        <div class="row"><div class="who grow"><strong title=${who.operator.email}>${who.operator.email}</strong><span class="fine">${who.operator.role}</span></div>
          <${ThemeSwitch} control="nav.theme" /><${Button} control="nav.sign-out" kind="ghost" icon="out" label="Sign out" onClick=${out} /></div>
      </div>
    </header>
    <header class="topbar"><a class="brand" href="/console" data-control="top.home"><${Logo} /> Portcullis</a><${Connection} /></header>
    <main id="main" ref=${main} tabindex="-1" class=${path === "/console" ? "full" : ""}>${Page ? html`<${Page} ...${page.parameters} who=${who} />` : html`<${NotFound} />`}</main>
    <nav class="bottombar" aria-label="Main, short">${BOTTOM.map((item) => html`<a key=${item.to} href=${item.to} data-control=${item.control} aria-current=${current(item.to) ? "page" : undefined}>
      <${Icon} name=${item.icon} size=${20} /> ${item.text}${item.icon === "inbox" && waiting > 0 && html`<span class="count">${shownWaiting}<span class="hidden-text"> waiting</span></span>`}</a>`)}
      <button type="button" data-control="bottom.more" aria-expanded=${more} onClick=${() => setMore(true)}><${Icon} name="list" size=${20} /> More</button></nav>
  </div>
  ${more && html`<${Dialog} title="More" onClose=${() => setMore(false)}><div class="body"><nav class="more-menu" aria-label="More pages">
    <a href="/console/secrets" data-control="more.secrets"><${Icon} name="key" /> Shared secrets</a>
    <a href="/console/policies" data-control="more.policies"><${Icon} name="shield" /> Policies</a>
    <a href="/console/operators" data-control="more.operators"><${Icon} name="people" /> Operators</a>
    <a href="/console/tokens" data-control="more.tokens"><${Icon} name="token" /> Tokens</a>
    <a href="/console/settings" data-control="more.settings"><${Icon} name="gear" /> Settings</a></nav>
    <div class="row"><div class="who grow"><strong>${who.operator.email}</strong><span class="fine">${who.operator.role}</span></div><${ThemeSwitch} control="more.theme" />
    <${Button} control="more.sign-out" icon="out" onClick=${out}>Sign out<//></div></div><//>`}
  <${Prompts} /><${Toasts} />`;
}

export function Logo() {
  return html`<svg width="24" height="24" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="var(--accent)" /><g stroke="var(--accent-text)" stroke-width="2.400" stroke-linecap="round"><path d="M9 7v15M16 7v18M23 7v15M6.500 11h19M6.500 18h19" /></g></svg>`;
}
