// The conversation with an agent: durable, with stable ids, so that what is sent twice arrives once and nothing is shown
// twice. While the agent is busy or draining, messages wait, and can be taken back.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../lib/html.js";
import { attemptKey, get, isHeld, post } from "../lib/api.js";
import { listen, readReplies } from "../lib/live.js";
import * as concerns from "../lib/events.js";
import { may, whyNot } from "../lib/roles.js";
import { duration, plural } from "../lib/format.js";
import { Markdown } from "../lib/markdown.js";
import { Badge } from "./state.js";
import { Button, Empty, Loading, Notice, Problem, Since, useAction, When } from "./basic.js";
import { sayOutcome } from "./toast.js";
import { drafts } from "../lib/drafts.js";

const PAGE = 100;

/** What was known and what came, each message once, in order. */
function merged(known, came) {
  const all = new Map(known.map((message) => [message.id, message]));
  for (const message of came) all.set(message.id, message);
  return [...all.values()].sort((a, b) => a.position - b.position);
}

/** The conversation, kept current: `{messages, error, ready, more, older}`; `older()` fetches what was said before. */
function useConversation(id) {
  const [state, set] = useState({ messages: [], error: null, ready: false, more: false });
  useEffect(() => {
    let over = false;
    let timer = null;
    let running = false;
    let again = false;
    const load = async () => {
      if (running) {
        again = true;
        return;
      }
      running = true;
      try {
        // The newest page: also what was known changes (queued, delivered, completed), so it is asked for as a whole.
        const page = await get(`/workspaces/${id}/messages?limit=${PAGE}`);
        if (!over) {
          set((old) => {
            const more = old.messages.length > 0 ? old.more : page.messages.length === PAGE;
            return { messages: merged(old.messages, page.messages), error: null, ready: true, more };
          });
        }
      } catch (error) {
        if (!over) set((old) => ({ ...old, error, ready: true }));
      }
      running = false;
      if (again && !over) {
        again = false;
        load();
      }
    };
    load();
    const concern = concerns.conversation(id);
    const stop = listen((event) => {
      if (event.type === "reset" || event.type === "poll" || concern(event)) {
        clearTimeout(timer);
        timer = setTimeout(load, 80);
      }
    });
    return () => {
      over = true;
      clearTimeout(timer);
      stop();
    };
  }, [id]);
  const older = async () => {
    const page = await get(`/workspaces/${id}/messages?limit=${PAGE}&before=${state.messages[0].position}`);
    set((old) => ({ ...old, messages: merged(old.messages, page.messages), more: page.messages.length === PAGE }));
  };
  return { ...state, older };
}

/** What the agent has written so far, of the message it works on: `{message_id, text}`. */
function useReplySoFar(id) {
  const [soFar, set] = useState(null);
  useEffect(() => readReplies((reply) => reply.workspace_id === id && set(reply)), [id]);
  return soFar;
}

export function Chat({ workspace, role, me }) {
  const soFar = useReplySoFar(workspace.id);
  const { messages, error, ready, more, older } = useConversation(workspace.id);
  const earlier = useAction(async () => {
    // What is read stays where it is while the rest comes above it.
    below.current = list.current.scrollHeight - list.current.scrollTop;
    await older();
  });
  const [text, setText] = useState(drafts.get(workspace.id));
  // The id of an attempt belongs to its text: the same again is the same message, another text is another.
  const attempt = useRef({ text: null, id: null });
  const [sending, setSending] = useState({ busy: false, error: null });
  const list = useRef(null);
  const input = useRef(null);
  const near = useRef(true);
  const below = useRef(null);
  const allowed = may(role, "message.send");

  // Before anybody can turn away from what is drawn: the last letter is kept as well.
  useLayoutEffect(() => drafts.set(workspace.id, text), [text]);
  const last = messages.at(-1);
  useLayoutEffect(() => {
    if (!list.current) return;
    if (below.current !== null) list.current.scrollTop = list.current.scrollHeight - below.current;
    else if (near.current) list.current.scrollTop = list.current.scrollHeight;
    below.current = null;
  }, [messages.length, last?.status, last?.reply, soFar]);

  const send = async (event) => {
    event?.preventDefault();
    if (!text.trim() || sending.busy || !allowed) return;
    setSending({ busy: true, error: null });
    if (attempt.current.text !== text) attempt.current = { text, id: attemptKey() };
    try {
      const answer = await post(`/workspaces/${workspace.id}/messages`, { text, message_id: attempt.current.id });
      near.current = true;
      attempt.current = { text: null, id: null };
      // What was typed while it was on its way stays; also where this page is left already.
      if (drafts.get(workspace.id) === text) drafts.set(workspace.id, "");
      setText((now) => (now === text ? "" : now));
      setSending({ busy: false, error: null });
      if (isHeld(answer)) sayOutcome(answer);
    } catch (problem) {
      // The text stays, and so does its id: another try is the same message.
      setSending({ busy: false, error: problem });
    }
    input.current?.focus();
  };
  const keys = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  };
  const busy = workspace.turn_since || workspace.queued > 0;
  const waits = whyItWaits(workspace);
  return html`<section class="chat" aria-label=${`Conversation with ${workspace.name}`}>
    <div class="chat-list" ref=${list} tabindex="0" role="log" aria-label="Messages" onScroll=${(event) => {
      const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
      near.current = scrollHeight - scrollTop - clientHeight < 80;
    }}>
      ${!ready && html`<${Loading} what="Loading the conversation" />`}
      ${ready && messages.length === 0 && !error && html`<${Empty} icon="chat" title=${`Nothing has been said to ${workspace.name} yet`}><p>Ask it something. It answers when it has worked on your message; you can leave meanwhile.</p><//>`}
      ${more && html`<p class="fine center">The newest ${messages.length} messages are shown. <${Button} control="chat.older" kind="ghost" busy=${earlier.busy} onClick=${earlier.run}>Show older ones<//></p><${Problem} error=${earlier.error} />`}
      ${messages.map((message) => html`<${Message} key=${message.id} message=${message} workspace=${workspace} mine=${message.from.kind === "operator" && message.from.id === me.id} allowed=${allowed} soFar=${soFar?.message_id === message.id ? soFar.text : ""} />`)}
      <${Problem} error=${error} />
    </div>
    ${waits && html`<${Notice} tone="warn">${waits} What you send waits until it runs.<//>`}
    <form class="composer" onSubmit=${send}><${Problem} error=${sending.error} />
      <label class="hidden-text" for="composer">Message to ${workspace.name}</label>
      <textarea id="composer" ref=${input} rows="3" data-control="chat.text" value=${text} placeholder=${busy ? `${workspace.name} is busy; your message waits its turn` : `Message ${workspace.name}`} onInput=${(event) => setText(event.currentTarget.value)} onKeyDown=${keys} readonly=${!allowed}></textarea>
      <div class="row"><span class="fine grow">Enter sends, Shift+Enter begins a line.${workspace.queued > 0 && ` ${plural(workspace.queued, "message")} waiting.`}</span>
        <${Button} control="chat.send" kind="primary" icon="send" type="submit" busy=${sending.busy} why=${!allowed ? whyNot(role, "message.send") : !text.trim() ? "Nothing is written yet." : null}>Send<//></div></form></section>`;
}

/** Why nothing that is sent is worked on now, or null. */
function whyItWaits({ name, runtime, status, status_reason: reason }) {
  if (runtime === "external" && status === "provisioning") return `${name} runs elsewhere and has not been heard yet.`;
  if (!["paused", "failed", "offline"].includes(status)) return null;
  return `${name} ${runtime === "external" ? "runs elsewhere and " : ""}is ${status}${reason ? ` (${reason})` : ""}.`;
}

const STATUS = {
  queued: { tone: "muted", icon: "clock", word: "waits" },
  delivered: { tone: "info", icon: "play", word: "works on it" },
  completed: null,
  failed: { tone: "bad", icon: "alert", word: "failed" },
  cancelled: { tone: "muted", icon: "undo", word: "taken back" },
};

function Message({ message, workspace, mine, allowed, soFar }) {
  const [state, set] = useState({ busy: false, error: null });
  const cancel = async () => {
    set({ busy: true, error: null });
    try {
      await post(`/workspaces/${workspace.id}/messages/${message.id}/cancel`);
      set({ busy: false, error: null });
    } catch (error) {
      set({ busy: false, error });
    }
  };
  const out = message.direction === "out";
  const status = STATUS[message.status];
  const body = useMemo(() => html`<${Markdown} text=${message.text} />`, [message.text]);
  const reply = useMemo(() => message.reply !== null && html`<${Markdown} text=${message.reply || "(an empty reply)"} />`, [message.reply]);
  return html`<article class=${`message ${out ? "theirs" : mine ? "mine" : "other"}`} data-message=${message.id}>
      <header><strong>${out ? workspace.name : mine ? "You" : message.from.name}</strong>${!out && !mine && html` <span class="fine">${message.from.kind}</span>`} <span class="fine"><${When} at=${message.created_at} /></span>
        ${!out && status && html`<${Badge} tone=${status.tone} icon=${status.icon}>${status.word}${message.status === "delivered" && workspace.turn_since && html` <${Since} at=${workspace.turn_since}>${duration}<//>`}<//>`}</header>
      ${body}
      ${message.status === "queued" && allowed && html`<div class="row"><${Button} control="chat.cancel" kind="ghost" icon="undo" busy=${state.busy} onClick=${cancel}>Take back<//></div>`}
      <${Problem} error=${state.error} /></article>
    ${message.status === "delivered" && soFar && html`<article class="message theirs" data-writing=${message.id}><header><strong>${workspace.name}</strong> <${Badge} tone="info" icon="edit">is writing<//></header><${Markdown} text=${soFar} /></article>`}
    ${(reply || message.error) && html`<article class="message theirs"><header><strong>${workspace.name}</strong> <span class="fine">${message.ended_at && html`<${When} at=${message.ended_at} />`}</span></header>${reply}${message.error && html`<${Notice} tone="bad">${message.error}<//>`}</article>`}`;
}
