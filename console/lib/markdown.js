// The small part of Markdown that agents write, as elements: never as markup, so that nothing in a message is ever run.
// Links lead to http(s) only, open elsewhere and tell nobody where they came from. Pictures are not loaded: no request
// leaves the origin.
import { html } from "./html.js";

const INLINE = /(`+)([\s\S]+?)\1|\*\*([\s\S]+?)\*\*|__([\s\S]+?)__|\*([^\s*][^*]*)\*|(?<![\w])_([^\s_][^_]*)_(?![\w])|~~([\s\S]+?)~~|!?\[([^[\]]*)\]\(((?:[^()\s]|\([^()\s]*\))+)\)|(https?:\/\/[^\s<>()"']*[^\s<>()"'.,;:!?])/;

/** Elements that a line becomes at most; what follows them is shown as it was written. 200 kB of stars would be 50,000. */
const ELEMENTS_MAX = 1000;

/** The line between the head and the body of a table. Three simple questions: one clever pattern could be kept busy for hours. */
const isRule = (line = "") => line.includes("|") && line.includes("-") && /^[\s|:-]+$/.test(line);

/** A link; where it would lead anywhere else, what was written. */
function link(target, text, written) {
  let url;
  try {
    url = new URL(target);
  } catch {
    return written;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return written;
  return html`<a href=${url.href} target="_blank" rel="noopener noreferrer nofollow" data-control="chat.link">${text}</a>`;
}

/** One line's elements, those inside others among them; `left` is how many it may still become. */
export function inline(text, depth = 0, left = { elements: ELEMENTS_MAX }) {
  const parts = [];
  let rest = text;
  while (rest && depth < 6 && left.elements > 0) {
    const found = INLINE.exec(rest);
    if (!found) break;
    left.elements -= 1;
    if (found.index > 0) parts.push(rest.slice(0, found.index));
    const [whole, , code, strong1, strong2, em1, em2, struck, label, target, bare] = found;
    if (code !== undefined) parts.push(html`<code>${code.trim()}</code>`);
    else if (strong1 ?? strong2) parts.push(html`<strong>${inline(strong1 ?? strong2, depth + 1, left)}</strong>`);
    else if (em1 ?? em2) parts.push(html`<em>${inline(em1 ?? em2, depth + 1, left)}</em>`);
    else if (struck !== undefined) parts.push(html`<s>${inline(struck, depth + 1, left)}</s>`);
    else if (target !== undefined) parts.push(link(target, label || target, whole));
    else if (bare !== undefined) parts.push(link(bare, bare, bare));
    rest = rest.slice(found.index + whole.length);
  }
  if (rest) parts.push(rest);
  return parts;
}

const LIST = /^\s*(?:[-*+]|(\d{1,4})[.)])\s+(.*)$/;

/** A text as blocks: paragraphs, headings, lists, quotes, code, tables. */
export function Markdown({ text }) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const blocks = [];
  let i = 0;
  while (i < lines.length) {
    const line = lines[i];
    const fence = /^\s*(```+|~~~+)\s*(\S*)/.exec(line);
    if (fence) {
      const code = [];
      i += 1;
      while (i < lines.length && !lines[i].trimStart().startsWith(fence[1])) code.push(lines[i++]);
      i += 1;
      blocks.push(html`<pre class="code" tabindex="0"><code>${code.join("\n")}</code></pre>`);
      continue;
    }
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    if (heading) {
      blocks.push(html`<p class="md-heading">${inline(heading[2])}</p>`);
      i += 1;
      continue;
    }
    if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      blocks.push(html`<hr />`);
      i += 1;
      continue;
    }
    if (line.startsWith(">")) {
      const quote = [];
      while (i < lines.length && lines[i].startsWith(">")) quote.push(lines[i++].replace(/^>\s?/, ""));
      blocks.push(html`<blockquote>${quote.map((part, n) => html`${n > 0 && html`<br />`}${inline(part)}`)}</blockquote>`);
      continue;
    }
    if (LIST.test(line)) {
      const ordered = LIST.exec(line)[1] !== undefined;
      const items = [];
      while (i < lines.length && LIST.test(lines[i])) items.push(LIST.exec(lines[i++])[2]);
      const rows = items.map((item) => html`<li>${inline(item)}</li>`);
      blocks.push(ordered ? html`<ol>${rows}</ol>` : html`<ul>${rows}</ul>`);
      continue;
    }
    if (line.includes("|") && isRule(lines[i + 1])) {
      const cells = (row) => row.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
      const head = cells(line);
      i += 2;
      const rows = [];
      while (i < lines.length && lines[i].includes("|")) rows.push(cells(lines[i++]));
      blocks.push(html`<div class="scroll-x" tabindex="0"><table class="md-table"><thead><tr>${head.map((c) => html`<th>${inline(c)}</th>`)}</tr></thead>
        <tbody>${rows.map((r) => html`<tr>${r.map((c) => html`<td>${inline(c)}</td>`)}</tr>`)}</tbody></table></div>`);
      continue;
    }
    if (line.trim() === "") {
      i += 1;
      continue;
    }
    const paragraph = [];
    while (i < lines.length && lines[i].trim() !== "" && !/^\s*(```|~~~|#{1,6}\s|>)/.test(lines[i]) && !LIST.test(lines[i])) paragraph.push(lines[i++]);
    if (paragraph.length === 0) paragraph.push(lines[i++]);
    blocks.push(html`<p>${paragraph.map((part, n) => html`${n > 0 && html`<br />`}${inline(part)}`)}</p>`);
  }
  return html`<div class="md">${blocks}</div>`;
}
