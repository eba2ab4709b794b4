// Tokens of the organisation.
import { html } from "../lib/html.js";
import { Tokens } from "../ui/tokens.js";

export function TokensPage({ who }) {
  return html`<div class="page-head"><div><h1>Tokens</h1></div></div><${Tokens} role=${who.operator.role} />`;
}
