//! A page as a person meets it: what is seen, what can be used, by mouse or by keyboard. Everything waits until it is so,
//! and nothing waits for a time to pass.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    control::{self, Control},
    keys, registry, scripts,
    webdriver::{Fault, Session},
};

/// How long a page may take to become what is awaited.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(40);
/// How often a key moves the focus on before the way is lost.
const TABS_MAX: usize = 300;

/// A window of a browser of its own.
pub struct Page {
    pub(super) session: Session,
    /// Where the server is.
    origin: String,
    downloads: PathBuf,
    axe: Option<Arc<str>>,
    log: RefCell<Vec<Value>>,
    requests: RefCell<Vec<String>>,
    forgiven: RefCell<Vec<String>>,
}

/// What a page looks like to its reader.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
    pub reduced_motion: bool,
}

impl Page {
    /// `home` is a directory for what the browser keeps; `axe` is the source of axe-core.
    pub fn new(driver: &str, browser: &Path, home: &Path, origin: String, axe: Option<Arc<str>>) -> Self {
        let session = Session::start(driver, browser, &home.join("profile"));
        let (log, requests, forgiven) = Default::default();
        let page = Self { session, origin, downloads: home.join("downloads"), axe, log, requests, forgiven };
        let folder = json!({"behavior": "allow", "downloadPath": page.downloads});
        page.devtools("Browser.setDownloadBehavior", folder);
        page
    }

    /// Goes to a path of the server.
    #[track_caller]
    pub fn open(&self, path: &str) {
        done("open", self.session.post("/url", json!({"url": format!("{}{path}", self.origin)})));
    }

    #[track_caller]
    pub fn reload(&self) {
        done("reload", self.session.post("/refresh", json!({})));
    }

    #[track_caller]
    pub fn back(&self) {
        done("go back", self.session.post("/back", json!({})));
    }

    /// The address after the server's name.
    #[track_caller]
    pub fn path(&self) -> String {
        let url = done("say the address", self.session.get("/url"));
        let url = url.as_str().expect("an address");
        url.strip_prefix(&self.origin).unwrap_or(url).to_owned()
    }

    /// Waits until the address is this.
    #[track_caller]
    pub fn is_at(&self, path: &str) {
        self.until(|| (self.path() == path).then_some(()), || format!("the address is {}, not {path}", self.path()));
    }

    #[track_caller]
    pub fn title(&self) -> String {
        let title = done("say the title", self.session.get("/title"));
        title.as_str().expect("a title").to_owned()
    }

    /// Waits until somebody finds it; gives up with what `why_not` says.
    #[track_caller]
    pub fn until<T>(&self, mut look: impl FnMut() -> Option<T>, why_not: impl FnOnce() -> String) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {}", why_not());
            std::thread::sleep(LOOK);
        }
    }

    /// Everything that can be read.
    pub fn words(&self) -> String {
        let words = self.session.script(scripts::VISIBLE, json!([]));
        words.ok().and_then(|words| Some(words.as_str()?.to_owned())).unwrap_or_default()
    }

    /// Waits until these words can be read.
    #[track_caller]
    pub fn see(&self, words: &str) {
        self.until(|| self.words().contains(words).then_some(()), || format!("`{words}` is not to be seen"));
    }

    /// Waits until these words cannot be read. Wait first for what comes instead, or for what was there.
    #[track_caller]
    pub fn not_see(&self, words: &str) {
        self.until(|| (!self.words().contains(words)).then_some(()), || format!("`{words}` is still to be seen"));
    }

    /// Waits for what a selector finds, and reads it.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let look = || {
            let text = self.session.script(scripts::TEXT, json!([selector])).ok()?;
            Some(text.as_str()?.to_owned())
        };
        self.until(look, || format!("nothing is `{selector}`"))
    }

    /// Waits until what a selector finds has these words.
    #[track_caller]
    pub fn see_in(&self, selector: &str, words: &str) {
        let look = || self.text(selector).contains(words).then_some(());
        self.until(look, || format!("`{selector}` has no `{words}`: {}", self.text(selector)));
    }

    /// The control of this name; waits until exactly one can be used.
    #[track_caller]
    pub fn control<'a>(&'a self, name: &'a str) -> Control<'a> {
        Control::of(self, name, None, None)
    }

    /// The same within what a selector finds.
    #[track_caller]
    pub fn control_in<'a>(&'a self, scope: &'a str, name: &'a str) -> Control<'a> {
        Control::of(self, name, Some(scope), None)
    }

    /// The same that is nearest to these words: in their line of a table, on their card.
    #[track_caller]
    pub fn control_near<'a>(&'a self, words: &'a str, name: &'a str) -> Control<'a> {
        Control::of(self, name, None, Some(words))
    }

    /// Waits until the page shows what it has, and nothing is on its way.
    #[track_caller]
    pub fn settled(&self) {
        self.until(|| self.is_settled().then_some(()), || "the page still loads".to_owned());
    }

    /// The same, for who goes on if it does not.
    pub fn settles(&self) -> bool {
        let begun = Instant::now();
        while !self.is_settled() {
            if begun.elapsed() > PATIENCE {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn is_settled(&self) -> bool {
        self.session.script(scripts::SETTLED, json!([])).is_ok_and(|answer| answer == true)
    }

    /// Whether what a selector finds has the focus.
    #[track_caller]
    pub fn is_focused(&self, selector: &str) -> bool {
        let script = "return document.activeElement?.matches(arguments[0]) ?? false";
        done("say the focus", self.session.script(script, json!([selector]))) == true
    }

    /// The colour behind everything.
    #[track_caller]
    pub fn background(&self) -> String {
        let script = "return getComputedStyle(document.documentElement).backgroundColor";
        let colour = done("say the colour", self.session.script(script, json!([])));
        colour.as_str().unwrap_or_default().to_owned()
    }

    /// The theme that was chosen: `light`, `dark`, or nothing.
    #[track_caller]
    pub fn theme(&self) -> String {
        let theme =
            done("say the theme", self.session.script("return document.documentElement.dataset.theme", json!([])));
        theme.as_str().unwrap_or_default().to_owned()
    }

    /// What is wider than the window, if anything is.
    #[track_caller]
    pub fn overflow(&self) -> Option<String> {
        let over = done("measure the page", self.session.script(scripts::OVERFLOW, json!([])));
        Some(over.as_str()?.to_owned())
    }

    /// How many controls of this name can be used right now.
    #[track_caller]
    pub fn controls(&self, name: &str) -> usize {
        done("look for controls", control::usable(self, name, None)).0.len()
    }

    /// Waits until no control of this name can be used: it is blocked, or not there.
    #[track_caller]
    pub fn no_control(&self, name: &str) {
        self.until(|| (self.controls(name) == 0).then_some(()), || format!("{name} can still be used"));
    }

    /// Presses keys one after the other, with spaces between them: `Tab`, `Shift+Tab`, `Space`, `Control+k`, `a`.
    #[track_caller]
    pub fn press(&self, chords: &str) {
        for chord in chords.split(' ') {
            self.painted();
            let before = self.focused();
            done("press keys", self.session.post("/actions", keys::chord(chord)));
            if let Some(control) = before.filter(|_| !matches!(chord, "Tab" | "Shift+Tab" | "Escape")) {
                registry::touch(&control);
            }
        }
    }

    /// Waits until what was drawn last can be used.
    pub fn painted(&self) {
        // A page that goes away has nothing left to do.
        let _ = self.session.script_async(scripts::PAINTED, json!([]));
    }

    /// Types into whatever has the focus.
    #[track_caller]
    pub fn type_keys(&self, text: &str) {
        self.focused().iter().for_each(|control| registry::touch(control));
        done("type", self.session.post("/actions", keys::typed(text)));
    }

    /// The name of the control that has the focus.
    #[track_caller]
    pub fn focused(&self) -> Option<String> {
        Some(done("say the focus", self.session.script(scripts::FOCUSED, json!([]))).as_str()?.to_owned())
    }

    /// Goes to a control by the keyboard alone.
    #[track_caller]
    pub fn tab_to(&self, name: &str) {
        self.control(name);
        for _ in 0..TABS_MAX {
            if self.focused().as_deref() == Some(name) {
                return;
            }
            self.press("Tab");
        }
        panic!("{name} cannot be reached by the keyboard");
    }

    /// How big the page is and how its reader likes it.
    #[track_caller]
    pub fn emulate(&self, look: Look) {
        let Look { width, height, dark, reduced_motion } = look;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", size);
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }},
            {"name": "prefers-reduced-motion", "value": if reduced_motion { "reduce" } else { "no-preference" }},
        ]});
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Cuts the browser off from the network, or not any more.
    #[track_caller]
    pub fn offline(&self, offline: bool) {
        let conditions = json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.devtools("Network.emulateNetworkConditions", conditions);
    }

    /// Lets nothing through to addresses with these words, beginning with the next request; nothing is kept back when there
    /// are none.
    #[track_caller]
    pub fn keep_back(&self, words: &[&str]) {
        let patterns: Vec<String> = words.iter().map(|words| format!("*{words}*")).collect();
        self.devtools("Network.enable", json!({}));
        self.devtools("Network.setBlockedURLs", json!({"urls": patterns}));
    }

    /// What a script answers.
    #[track_caller]
    pub fn ask(&self, script: &str, arguments: Value) -> Value {
        done("ask the page", self.session.script(script, arguments))
    }

    /// What a script answers that takes its time.
    #[track_caller]
    pub fn ask_later(&self, script: &str, arguments: Value) -> Value {
        done("ask the page", self.session.script_async(script, arguments))
    }

    /// The window that is looked at.
    #[track_caller]
    pub fn window(&self) -> Value {
        done("say the window", self.session.get("/window"))
    }

    /// Opens another window of the same browser and looks at it.
    #[track_caller]
    pub fn new_window(&self) -> Value {
        let made = done("open a window", self.session.post("/window/new", json!({"type": "tab"})));
        self.look_at(&made["handle"]);
        made["handle"].clone()
    }

    /// Closes a window and looks at another.
    #[track_caller]
    pub fn close_window(&self, window: &Value, then: &Value) {
        self.look_at(window);
        done("close a window", self.session.delete("/window"));
        self.look_at(then);
    }

    #[track_caller]
    pub fn look_at(&self, window: &Value) {
        done("look at a window", self.session.post("/window", json!({"handle": window})));
    }

    /// How many elements a selector finds.
    #[track_caller]
    pub fn count(&self, selector: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        done("count", self.session.script(script, json!([selector]))).as_u64().unwrap_or_default()
    }

    #[track_caller]
    fn devtools(&self, command: &str, parameters: Value) -> Value {
        done(command, self.session.devtools(command, parameters))
    }

    /// A passkey that says yes, without a person.
    #[track_caller]
    pub fn passkey(&self) {
        let kind = json!({"protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserConsenting": true, "isUserVerified": true});
        done("add a passkey", self.session.post("/webauthn/authenticator", kind));
    }

    /// What the page has copied.
    #[track_caller]
    pub fn clipboard(&self) -> String {
        let granted = json!({"descriptor": {"name": "clipboard-read"}, "state": "granted"});
        done("permit the clipboard", self.session.post("/permissions", granted));
        let text = done("read the clipboard", self.session.script_async(scripts::CLIPBOARD, json!([])));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits for a file that the page saves, and reads it.
    #[track_caller]
    pub fn downloaded(&self, name: &str) -> String {
        let file = self.downloads.join(name);
        let there = || std::fs::read_dir(&self.downloads).into_iter().flatten().flatten().collect::<Vec<_>>();
        // The browser keeps the name with an empty file until the whole one is there.
        let whole = || std::fs::read_to_string(&file).ok().filter(|text| !text.is_empty());
        self.until(whole, || format!("no {name} was saved: {:?}", there()))
    }

    /// Everything that axe objects to on the page as it is; nothing where there is no axe.
    #[track_caller]
    pub fn axe(&self) -> Vec<String> {
        let Some(source) = &self.axe else { return Vec::new() };
        // Through the driver, so that the page's own policy stays as strict as it is.
        done("load axe", self.session.script(source, json!([])));
        let found = done("run axe", self.session.script_async(scripts::AXE, json!([])));
        found.as_array().into_iter().flatten().filter_map(|line| Some(line.as_str()?.to_owned())).collect()
    }

    /// The page has no barrier that axe knows.
    #[track_caller]
    pub fn has_no_barrier(&self) {
        let found = self.axe();
        assert!(found.is_empty(), "{}: {} barriers\n{}", self.path(), found.len(), found.join("\n"));
    }

    #[track_caller]
    pub fn screenshot(&self, file: &Path) {
        let picture = done("take a picture", self.session.get("/screenshot"));
        let picture = BASE64_STANDARD.decode(picture.as_str().expect("a picture")).expect("base64");
        std::fs::write(file, picture).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// What the browser logged so far.
    pub fn logs(&self) -> Vec<Value> {
        let mut log = self.log.borrow_mut();
        log.extend(self.session.log("browser"));
        log.clone()
    }

    /// A scenario that causes an error says so: log lines with these words do not make it fail.
    pub fn forgive(&self, words: &str) {
        self.forgiven.borrow_mut().push(words.to_owned());
    }

    /// Every address the browser asked for, of anybody.
    pub fn requests(&self) -> Vec<String> {
        let mut requests = self.requests.borrow_mut();
        for entry in self.session.log("performance") {
            let message: Value =
                serde_json::from_str(entry["message"].as_str().unwrap_or_default()).unwrap_or_default();
            if message["message"]["method"] == "Network.requestWillBeSent" {
                requests.extend(message["message"]["params"]["request"]["url"].as_str().map(str::to_owned));
            }
        }
        requests.clone()
    }

    /// What no page may do, whatever its scenario was about: break its policy, lose an error, ask anybody else.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let forgiven = self.forgiven.borrow();
        for entry in self.logs() {
            let text = entry["message"].as_str().unwrap_or_default();
            if is_fault(&entry) && !forgiven.iter().any(|words| text.contains(words)) {
                faults.push(format!("the browser complains: {text}"));
            }
        }
        let ours = format!("{}/", self.origin);
        // The browser's own first page is inside of it.
        let is_ours = |url: &String| ["data:", "blob:", "chrome:", &ours].iter().any(|ours| url.starts_with(ours));
        faults
            .extend(self.requests().iter().filter(|url| !is_ours(url)).map(|url| format!("the page asked for {url}")));
        faults
    }
}

/// An answer of 4xx is the server's word, and pages are tested with those; the browser only notes it. But their own
/// files are there.
fn is_fault(entry: &Value) -> bool {
    let text = entry["message"].as_str().unwrap_or_default();
    if entry["source"] == "network" {
        return text.contains("with a status of 5") || text.contains("/console/assets/");
    }
    let broke_policy = text.contains("Content Security Policy") || text.contains("TrustedHTML");
    entry["level"] == "SEVERE" || broke_policy
}

/// What the driver answered; a refusal ends the scenario.
#[track_caller]
pub fn done<T>(what: &str, answer: Result<T, Fault>) -> T {
    answer.unwrap_or_else(|fault| panic!("cannot {what}: {}: {}", fault.error, fault.message))
}
