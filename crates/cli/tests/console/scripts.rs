//! What is asked of a page that the driver has no word for, as bodies of functions.

/// The controls of a name that a person could use now: `[elements, how many more there are, shown but blocked or not
/// shown]`. While a dialog is open, nothing outside of it can be used. Arguments: the name, and where to look or null.
pub const CONTROLS: &str = r#"
const [name, scope] = arguments;
const modal = [...document.querySelectorAll("dialog:modal")].pop();
const places = scope ? [...document.querySelectorAll(scope)] : [document];
const all = new Set(places.flatMap((place) => [...place.querySelectorAll(`[data-control="${name}"]`), ...(place.dataset?.control === name ? [place] : [])]));
const box = (element) => element.getBoundingClientRect();
const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && box(element).width > 0 && box(element).height > 0;
const usable = (element) => shown(element) && !element.disabled && element.ariaDisabled !== "true" && (!modal || modal.contains(element));
const found = [...all].filter(usable);
return [found, all.size - found.length];
"#;

/// Of controls, the one that is nearest to these words: the one with the smallest part of the page around it that has both.
/// Null where two are as near.
pub const NEAREST: &str = r#"
const [controls, words] = arguments;
const flat = (element) => element.innerText?.replace(/\s+/g, " ") ?? "";
const distance = (element) => {
  let steps = 0;
  for (let around = element; around; around = around.parentElement, steps += 1) if (flat(around).includes(words)) return [around, steps];
  return [null, Infinity];
};
const sorted = controls.map((element) => ({ element, around: distance(element)[0] })).filter((one) => one.around);
const inner = sorted.filter((one) => !sorted.some((other) => other.around !== one.around && one.around.contains(other.around)));
return inner.length === 1 ? inner[0].element : null;
"#;

/// What a person can read, with every space as one.
pub const VISIBLE: &str = r#"
const flat = (text) => text.replace(/\s+/g, " ").trim();
return flat(document.body?.innerText ?? "");
"#;

/// The text of what a selector finds first, or null.
pub const TEXT: &str = r#"
const found = document.querySelector(arguments[0]);
return found && found.innerText.replace(/\s+/g, " ").trim();
"#;

/// The name of the control that has the focus, or null.
pub const FOCUSED: &str = r#"return document.activeElement?.closest("[data-control]")?.dataset.control ?? null;"#;

/// Whether keys are typed into an element one by one, so that what is there must be taken out first.
pub const TAKES_TEXT: &str = r#"
const [element] = arguments;
return element.matches("textarea, input:not([type]), input:is([type=text], [type=search], [type=email], [type=password], [type=number], [type=url], [type=tel])");
"#;

/// The words of all choices, and of the one that is taken.
pub const CHOICES: &str = "return [...arguments[0].options].map((option) => option.text.trim())";
pub const CHOSEN: &str = "return arguments[0].selectedOptions[0]?.text.trim() ?? null";

/// What a control holds: its value, or whether it is checked.
pub const VALUE: &str = r#"
const [element] = arguments;
return element.type === "checkbox" || element.type === "radio" ? element.checked : element.value;
"#;

/// Everything that `axe` objects to, as lines.
pub const AXE: &str = r#"
const done = arguments[arguments.length - 1];
const options = { resultTypes: ["violations"], rules: { "target-size": { enabled: true } } };
axe.run(document, options).then(
  ({ violations }) => done(violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.html.slice(0, 300)}${node.any[0] ? ` (${node.any[0].message})` : ""}`))),
  (error) => done([`axe failed: ${error}`]),
);
"#;

/// What the clipboard holds.
pub const CLIPBOARD: &str = r#"
const done = arguments[arguments.length - 1];
navigator.clipboard.readText().then(done, (error) => done(`no clipboard: ${error}`));
"#;

/// Whether a page has its heading and waits for nothing.
pub const SETTLED: &str = r#"
const busy = [...document.querySelectorAll(".loading, .spinner, [aria-busy=true]")].some((element) => element.checkVisibility());
return document.readyState === "complete" && Boolean(document.querySelector("h1, h2")) && !busy;
"#;

/// Remembers which element the next press of the mouse is meant for, and whether it gets it.
pub const AIM: &str = r#"
const [element] = arguments;
const first = !window.aimed;
window.aimed = { element, hit: null };
if (first) addEventListener("pointerdown", ({ target }) => { window.aimed.hit ??= window.aimed.element.contains(target); }, true);
"#;
pub const HIT: &str = "return window.aimed?.hit ?? null";

/// Answers when what follows the last drawing is done: listeners are there, dialogs are open. Preact waits for the next frame
/// and no longer than 35 ms, and so does this, after it.
pub const PAINTED: &str = r#"
const done = arguments[arguments.length - 1];
const next = () => { clearTimeout(timer); cancelAnimationFrame(frame); setTimeout(done); };
const timer = setTimeout(next, 35);
const frame = requestAnimationFrame(next);
"#;

/// The innermost elements that reach beyond the window, where the window would have to be scrolled sideways; else null.
pub const OVERFLOW: &str = r#"
const wide = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= wide) return null;
const over = [...document.body.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > wide + 1);
return over.filter((element) => !over.some((other) => other !== element && element.contains(other))).slice(0, 3).map((element) => element.outerHTML.slice(0, 200)).join(" | ") || "the page";
"#;
