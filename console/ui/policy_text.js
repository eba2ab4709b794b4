// Cedar as text with its words told apart. Nothing is interpreted here.
import { html, useMemo } from "../lib/html.js";

const TOKEN = /(\/\/[^\n]*)|("(?:[^"\\]|\\.)*")|(@\w+)|\b(permit|forbid|when|unless)\b|\b(principal|action|resource|context)\b|\b(in|is|like|has|if|then|else|true|false)\b|(\d+)|([A-Z]\w*(?:::\w+)*::)/g;
const CLASSES = ["comment", "string", "annotation", "effect", "variable", "word", "number", "type"];

function coloured(text) {
  const parts = [];
  let last = 0;
  for (const found of text.matchAll(TOKEN)) {
    if (found.index > last) parts.push(text.slice(last, found.index));
    const kind = found.slice(1).findIndex((group) => group !== undefined);
    parts.push(html`<span class=${`cedar-${CLASSES[kind]}`}>${found[0]}</span>`);
    last = found.index + found[0].length;
  }
  parts.push(text.slice(last));
  return parts;
}

export function Policy({ text }) {
  const parts = useMemo(() => coloured(text.trim()), [text]);
  return html`<pre class="code wrap cedar" tabindex="0"><code>${parts}</code></pre>`;
}

/** The rules of a file, one by one: `{id, text}`. A rule ends at its semicolon, outside of texts and comments. */
export function rulesOf(text) {
  const rules = [];
  let start = 0;
  let i = 0;
  while (i < text.length) {
    if (text.startsWith("//", i)) {
      const end = text.indexOf("\n", i);
      i = end < 0 ? text.length : end;
    } else if (text[i] === '"') {
      i += 1;
      while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
      i += 1;
    } else if (text[i] === ";") {
      rules.push(text.slice(start, i + 1).trim());
      start = i + 1;
      i += 1;
    } else i += 1;
  }
  return rules.map((rule, n) => ({ id: /@id\("([^"]+)"\)/.exec(rule)?.[1] ?? `rule ${n + 1}`, text: rule }));
}
