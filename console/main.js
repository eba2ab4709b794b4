// Starts the console: who is here, which page, and the frame around it.
import { html, render } from "./lib/html.js";
import { loadSession } from "./lib/api.js";
import { App } from "./ui/app.js";

loadSession().catch(() => {});
render(html`<${App} />`, document.getElementById("app"));
