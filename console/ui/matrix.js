// What the shipped rules add up to: who may do what to which. The text is a file of the repository that a test keeps true.
import { html, useMemo, useState } from "../lib/html.js";
import { useGet } from "../lib/query.js";
import { verb } from "../lib/format.js";
import { Answer, Field } from "./basic.js";
import { Badge } from "./state.js";

/** Reads the text: blocks of `verb on target`, then a line for each subject. */
export function readMatrix(text) {
  return text.trim().split(/\n\n+/).slice(1).map((block) => {
    const [head, ...lines] = block.split("\n");
    const [what, ...rest] = head.split(" on ");
    const rows = lines.map((line) => /^\s*(.+?)\s{2,}(.+)$/.exec(line)).filter(Boolean).map(([, who, outcome]) => ({ who, outcome }));
    return { verb: what.trim(), target: rest.join(" on "), rows };
  });
}

const toneOf = (outcome) => (outcome === "allow" ? "good" : outcome.startsWith("hold") ? "warn" : "bad");

export function Matrix() {
  const answer = useGet("/policies/matrix");
  const blocks = useMemo(() => (answer.data ? readMatrix(answer.data.matrix) : []), [answer.data]);
  const verbs = [...new Set(blocks.map((block) => block.verb))];
  const subjects = [...new Set(blocks.flatMap((block) => block.rows.map((row) => row.who)))];
  const [chosen, setChosen] = useState("secret.set");
  const [subject, setSubject] = useState("");
  const shown = blocks.filter((block) => !chosen || block.verb === chosen);
  return html`<${Answer} of=${answer} what="Loading the matrix">${() => html`<div class="stack"><p class="quiet">The shipped rules only; added ones can only make it stricter where they forbid. Ask “What if” for a real case.</p>
    <div class="filters card"><${Field} label="Deed" control="matrix.verb" value=${chosen} onInput=${setChosen} options=${[["", "All deeds"], ...verbs.map((one) => [one, `${verb(one)} (${one})`])]} />
      <${Field} label="Subject" control="matrix.subject" value=${subject} onInput=${setSubject} options=${[["", "All subjects"], ...subjects.map((one) => [one, one])]} /></div>
    ${shown.map((block) => html`<section class="card" key=${block.verb + block.target}><header><h2>${verb(block.verb)} <span class="quiet">on ${block.target}</span></h2></header><ul class="matrix">${block.rows.filter((row) => !subject || row.who === subject).map((row) => html`<li key=${row.who}><span>${row.who}</span><${Badge} tone=${toneOf(row.outcome)}>${row.outcome}<//></li>`)}</ul></section>`)}</div>`}<//>`;
}
