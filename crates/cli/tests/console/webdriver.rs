//! The little of W3C WebDriver that the console's tests need, over the HTTP client that is here anyway. The published client
//! would bring seven more crates and asynchronous handles for a dozen commands that are plain JSON.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::scripts;

/// How long one command may take. Waiting for a page is done by asking again, so that this is never reached.
const COMMAND: Duration = Duration::from_secs(60);

/// The member that marks an element in an answer, by the standard.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// For requests to the driver, by all scenarios.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(crate::kit::runtime);

/// A chromedriver on a port of its own choice. Ended when this is dropped; its browsers end with it, because they
/// talk to it through pipes.
pub struct Driver {
    child: Child,
    url: String,
}

impl Driver {
    /// Starts it; what it and its browsers write at home goes to `home`.
    pub fn start(program: &Path, home: &Path) -> Self {
        let mut command = Command::new(program);
        command.arg("--port=0").env("HOME", home).env("TMPDIR", home).current_dir(home);
        let output = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = output.spawn().expect("chromedriver starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok());
        // Guarded from here on, and read to the end, or it would wait for a reader.
        let driver = Self { child, url: format!("http://127.0.0.1:{}", port.expect("chromedriver names its port")) };
        std::thread::spawn(move || lines.for_each(drop));
        driver
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the driver refuses, in its words: `error` is one of the standard's.
#[derive(Debug)]
pub struct Fault {
    pub error: String,
    pub message: String,
}

impl Fault {
    /// The page was about to change: what was meant may be there in a moment.
    pub fn is_passing(&self) -> bool {
        matches!(
            self.error.as_str(),
            "stale element reference" | "element click intercepted" | "element not interactable" | "no such element"
        )
    }
}

/// An element of the page as it is now.
#[derive(Clone, Debug)]
pub struct Element(String);

impl Element {
    /// Reads one from an answer.
    pub fn read(value: &Value) -> Option<Self> {
        Some(Self(value[ELEMENT].as_str()?.to_owned()))
    }

    /// As an argument of a script.
    pub fn argument(&self) -> Value {
        json!({ ELEMENT: self.0 })
    }
}

/// One browser with a profile of its own. Closed when this is dropped.
pub struct Session {
    http: reqwest::Client,
    url: String,
}

impl Session {
    /// Starts a browser that keeps everything in `profile`.
    pub fn start(driver: &str, browser: &Path, profile: &Path) -> Self {
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(|&argument| argument.to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": browser, "args": arguments, "perfLoggingPrefs": {"enableNetwork": true, "enablePage": false}},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let http = reqwest::Client::builder().no_proxy().timeout(COMMAND).build().expect("a client");
        let nowhere = Self { http, url: format!("{driver}/session") };
        let answer = nowhere.post("", wanted).unwrap_or_else(|fault| panic!("no browser: {fault:?}"));
        let id = answer["sessionId"].as_str().expect("a session");
        let url = format!("{driver}/session/{id}");
        let http = nowhere.http.clone();
        // It is not a session, so there is nothing to close.
        std::mem::forget(nowhere);
        Self { http, url }
    }

    /// A command with a body.
    pub fn post(&self, path: &str, body: Value) -> Result<Value, Fault> {
        self.send(Method::POST, path, Some(body))
    }

    /// A question.
    pub fn get(&self, path: &str) -> Result<Value, Fault> {
        self.send(Method::GET, path, None)
    }

    /// Ends what a path names.
    pub fn delete(&self, path: &str) -> Result<Value, Fault> {
        self.send(Method::DELETE, path, None)
    }

    fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Fault> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = RUNTIME.block_on(async { request.send().await?.text().await });
        let fault = |error: &str, message: String| Fault { error: error.to_owned(), message };
        let text = answer.map_err(|error| fault("no answer", error.to_string()))?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|_| fault("no JSON", text.clone()))?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) if value["stacktrace"].is_string() => {
                Err(fault(error, value["message"].as_str().unwrap_or_default().to_owned()))
            }
            _ => Ok(value),
        }
    }

    /// Runs the body of a function in the page and returns its answer.
    pub fn script(&self, body: &str, arguments: Value) -> Result<Value, Fault> {
        self.post("/execute/sync", json!({"script": body, "args": arguments}))
    }

    /// The same for a function that answers through its last argument, a callback.
    pub fn script_async(&self, body: &str, arguments: Value) -> Result<Value, Fault> {
        self.post("/execute/async", json!({"script": body, "args": arguments}))
    }

    /// A command of the browser's own protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Result<Value, Fault> {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters}))
    }

    /// What was logged since the last look: `browser` or `performance`.
    pub fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.post("/se/log", json!({"type": kind})).unwrap_or_default();
        entries.as_array().cloned().unwrap_or_default()
    }

    /// Clicks it. A click that went beside it, because the page moved between the look and the press, is "intercepted".
    pub fn click(&self, element: &Element) -> Result<(), Fault> {
        self.script(scripts::AIM, json!([element.argument()]))?;
        self.post(&format!("/element/{}/click", element.0), json!({}))?;
        match self.script(scripts::HIT, json!([])) {
            Ok(hit) if hit == false => Err(Fault {
                error: "element click intercepted".to_owned(),
                message: "the page moved under the mouse".to_owned(),
            }),
            // Also of a page that is another one by now, or none.
            _ => Ok(()),
        }
    }

    /// Keys to an element, as if typed.
    pub fn keys(&self, element: &Element, text: &str) -> Result<(), Fault> {
        self.post(&format!("/element/{}/value", element.0), json!({"text": text})).map(drop)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The driver ends what does not end by itself.
        let _ = self.delete("");
    }
}

/// A browser that talks to nobody but the page's server, and looks the same everywhere.
const ARGUMENTS: [&str; 14] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--lang=en-GB",
    "--window-size=1440,900",
    "--remote-debugging-pipe",
];
