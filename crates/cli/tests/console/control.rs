//! A control of a page, and what a person does with one. Whatever is done is noted in the register.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::{
    keys,
    page::{Page, done},
    registry, scripts,
    webdriver::{Element, Fault},
};

/// A control, found anew for everything that is done with it: pages change under one's hands.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    page: &'a Page,
    name: &'a str,
    scope: Option<&'a str>,
    near: Option<&'a str>,
}

/// The controls of a name that can be used now, and how many cannot.
pub fn usable(page: &Page, name: &str, scope: Option<&str>) -> Result<(Vec<Element>, u64), Fault> {
    let answer = page.session.script(scripts::CONTROLS, json!([name, scope]))?;
    let found = answer[0].as_array().into_iter().flatten().filter_map(Element::read).collect();
    Ok((found, answer[1].as_u64().unwrap_or_default()))
}

impl<'a> Control<'a> {
    /// Waits until there is exactly one that can be used: within a selector, or nearest to some words.
    #[track_caller]
    pub fn of(page: &'a Page, name: &'a str, scope: Option<&'a str>, near: Option<&'a str>) -> Self {
        let control = Self { page, name, scope, near };
        page.until(|| control.find(), || control.missing());
        control
    }

    fn find(&self) -> Option<Element> {
        let (mut found, _) = usable(self.page, self.name, self.scope).ok()?;
        if let Some(words) = self.near {
            let all: Vec<Value> = found.iter().map(Element::argument).collect();
            return Element::read(&self.page.session.script(scripts::NEAREST, json!([all, words])).ok()?);
        }
        if found.len() == 1 { found.pop() } else { None }
    }

    fn missing(&self) -> String {
        let (found, blocked) = done("look for controls", usable(self.page, self.name, self.scope));
        let place = self.scope.or(self.near).map(|words| format!(" at `{words}`")).unwrap_or_default();
        format!(
            "exactly one {}{place} that can be used: there are {}, and {blocked} blocked or hidden",
            self.name,
            found.len()
        )
    }

    /// Does it, again if the page changed at that moment, and notes it.
    #[track_caller]
    fn act(&self, what: &str, act: impl Fn(&Element) -> Result<(), Fault>) -> Self {
        let last = RefCell::new(String::new());
        let attempt = || {
            let element = self.find()?;
            match act(&element) {
                Ok(()) => Some(Ok(())),
                Err(fault) if fault.is_passing() => {
                    *last.borrow_mut() = fault.message;
                    None
                }
                Err(fault) => Some(Err(fault)),
            }
        };
        let outcome =
            self.page.until(attempt, || format!("{what} {}: {}; {}", self.name, self.missing(), last.borrow()));
        done(&format!("{what} {}", self.name), outcome);
        registry::touch(self.name);
        *self
    }

    #[track_caller]
    pub fn click(&self) -> Self {
        self.act("click", |element| self.page.session.click(element))
    }

    /// Types this instead of what is there.
    #[track_caller]
    pub fn fill(&self, text: &str) -> Self {
        self.act("fill", |element| {
            let page = &self.page.session;
            let takes_text = page.script(scripts::TAKES_TEXT, json!([element.argument()]))? == true;
            if takes_text {
                page.keys(element, ALL_AND_DELETE)?;
            }
            if text.is_empty() { Ok(()) } else { page.keys(element, text) }
        })
    }

    /// Takes the choice that shows these words, by the keyboard: what a click on one does, the driver only imitates, and
    /// leaves out an event.
    #[track_caller]
    pub fn choose(&self, words: &str) -> Self {
        self.act("choose from", |element| {
            let page = &self.page.session;
            let choices = page.script(scripts::CHOICES, json!([element.argument()]))?;
            page.keys(element, HOME)?;
            for _ in choices.as_array().into_iter().flatten() {
                if page.script(scripts::CHOSEN, json!([element.argument()]))? == words {
                    return Ok(());
                }
                page.keys(element, DOWN)?;
            }
            let message = format!("no choice `{words}`, but {choices}");
            Err(Fault { error: "no such element".to_owned(), message })
        })
    }

    /// Drags it with the mouse onto another one.
    #[track_caller]
    pub fn drag_to(&self, other: &Control) -> Self {
        self.act("drag", |element| {
            let missing = || Fault { error: "no such element".to_owned(), message: other.missing() };
            let target = other.find().ok_or_else(missing)?;
            self.page.session.post("/actions", keys::drag(element, &target)).map(drop)
        })
    }

    /// Presses keys on it.
    #[track_caller]
    pub fn press(&self, chords: &str) -> Self {
        self.act("focus", |element| {
            self.page.session.script("arguments[0].focus()", json!([element.argument()])).map(drop)
        });
        self.page.press(chords);
        *self
    }

    /// What it holds: text, or whether it is checked.
    #[track_caller]
    pub fn value(&self) -> Value {
        let look = || {
            let element = self.find()?;
            self.page.session.script(scripts::VALUE, json!([element.argument()])).ok()
        };
        self.page.until(look, || self.missing())
    }

    /// An attribute, if it has one.
    #[track_caller]
    pub fn attribute(&self, name: &str) -> Option<String> {
        let look = || {
            let script = "return arguments[0].getAttribute(arguments[1])";
            self.page.session.script(script, json!([self.find()?.argument(), name])).ok()
        };
        self.page.until(look, || self.missing()).as_str().map(str::to_owned)
    }

    /// What is written on it.
    #[track_caller]
    pub fn label(&self) -> String {
        let look = || {
            let script = "const [one] = arguments; return (one.ariaLabel || one.innerText).trim()";
            self.page.session.script(script, json!([self.find()?.argument()])).ok()
        };
        self.page.until(look, || self.missing()).as_str().unwrap_or_default().to_owned()
    }
}

/// The first choice, and the next one.
const HOME: &str = "\u{e011}";
const DOWN: &str = "\u{e015}";

/// Control and A, then Delete, as the standard writes keys in a text; the last one lets the Control key go.
const ALL_AND_DELETE: &str = "\u{e009}a\u{e000}\u{e017}";
