// What an address shows that leads nowhere.
import { html } from "../lib/html.js";
import { Icon } from "./icon.js";

export function NotFound() {
  return html`<div class="empty"><${Icon} name="info" size=${28} /><h1>No such page</h1><p>What was here may have been removed, or the address is mistyped.</p><a class="button" href="/console" data-control="not-found.home">To the organisation</a></div>`;
}
