// A form with input that is not saved: leaving it, by whatever way, asks first.
import { html, useEffect, useState } from "../lib/html.js";
import { guardLeaving } from "../lib/route.js";
import { Button, Dialog } from "./basic.js";

const stay = () => {};

/** `close` to use instead of `onClose`, and the `question` to show within the form's dialog; `what` is not saved. */
export function useLeaving(dirty, onClose, what) {
  const [proceed, setProceed] = useState(null);
  useEffect(() => {
    guardLeaving(dirty ? (on) => setProceed(() => on) : null);
    return () => guardLeaving(null);
  }, [dirty]);
  const keep = () => setProceed(null);
  const discard = () => {
    guardLeaving(null);
    onClose();
    proceed();
  };
  const close = () => (dirty ? setProceed(() => stay) : onClose());
  const question = proceed && html`<${Dialog} title="Discard what you typed?" onClose=${keep}><div class="body"><p>${what} is not saved.</p>
    <div class="actions"><${Button} control="leaving.keep" onClick=${keep}>Keep typing<//><${Button} control="leaving.discard" kind="danger" onClick=${discard}>Discard<//></div></div><//>`;
  return { close, question };
}
