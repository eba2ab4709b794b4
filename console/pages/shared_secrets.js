// Secrets of the whole organisation.
import { html } from "../lib/html.js";
import { Secrets } from "../ui/secrets.js";

export function SharedSecretsPage({ who }) {
  return html`<div class="page-head"><div><h1>Shared secrets</h1></div></div><${Secrets} scope=${{}} role=${who.operator.role} />`;
}
