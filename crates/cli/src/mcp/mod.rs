//! `mcp`: a bridge for clients that can only start commands. It passes messages between its standard input and output and
//! the server's endpoint, one a line, and decides nothing. The token is never an argument and never printed.

pub mod endpoint;

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use self::endpoint::{Endpoint, Miss, Session, revision_of};
use crate::bearer::Bearer;
use crate::client::{path, require_private};
use crate::context::Context;
use crate::environment;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Output;
use crate::profile::Profile;

/// Longest line, in bytes: a little more than the server takes, so that the refusal is the server's.
const LINE_BYTES_MAX: usize = (1 << 20) + (64 << 10);
/// Most requests under way at a time; further ones wait.
const REQUESTS_MAX: usize = 64;
/// How long requests may go on once there is no more input.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// JSON-RPC's code for what the server could not do.
const INTERNAL: i64 = -32603;
/// JSON-RPC's code for what is no message.
const PARSE: i64 = -32700;

const HELP: &str = "\
A client that starts commands is told to run this one. The token comes from --token-file (a file that only you may
read; it is read again when the server refuses it), from PORTCULLIS_TOKEN_FILE, or from PORTCULLIS_TOKEN.

Example, as most clients write it:
  {\"command\": \"portcullis\", \"args\": [\"mcp\", \"--url\", \"https://…\", \"--token-file\", \"/…/token\"]}
";

/// `mcp`
#[derive(Args)]
#[command(after_help = HELP)]
pub struct McpArgs {
    /// The endpoint of this workspace instead of the organisation's
    #[arg(long, value_name = "ID")]
    pub workspace: Option<String>,
}

/// `portcullis mcp`.
pub async fn run(context: &Context, args: &McpArgs) -> Result<Exit, Error> {
    let base = context.base(&Profile::load(&Profile::path()?)?)?;
    require_private(&base)?;
    let bearer = Arc::new(bearer(context)?);
    let path = args.workspace.as_ref().map_or_else(|| "/mcp".to_owned(), |id| path(&["workspaces", id, "mcp"]));
    let bridge = Arc::new(Bridge {
        endpoint: Endpoint::new(&base, &path, bearer)?,
        session: Mutex::default(),
        hello: Mutex::default(),
        reopening: tokio::sync::Mutex::default(),
        running: Mutex::default(),
        places: Semaphore::new(REQUESTS_MAX),
        output: context.output,
    });
    bridge.pass_on().await?;
    Ok(Exit::Ok)
}

fn bearer(context: &Context) -> Result<Bearer, Error> {
    let file: Option<PathBuf> = context.token_file().map(PathBuf::from).or_else(environment::agent::token_file);
    match (file, environment::token()) {
        (Some(file), _) => {
            only_mine(&file)?;
            Bearer::file(&file)
        }
        (None, Some(token)) => Bearer::fixed(&token),
        (None, None) => Err(Error::usage("whose tools? there is no token")
            .hint("give `--token-file FILE`, PORTCULLIS_TOKEN_FILE or PORTCULLIS_TOKEN")),
    }
}

/// A token that others can read is theirs as well.
fn only_mine(file: &std::path::Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let found =
        std::fs::metadata(file).map_err(|error| Error::usage(format!("cannot read `{}`: {error}", file.display())))?;
    if found.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::usage(format!("`{}` can be read by others", file.display())).hint("chmod 600 it"))
}

struct Bridge {
    endpoint: Endpoint,
    session: Mutex<Session>,
    /// The client's `initialize`, for a session that has to be opened again.
    hello: Mutex<Option<Value>>,
    /// One opens it again, and the others wait for that.
    reopening: tokio::sync::Mutex<()>,
    /// Requests under way, by their id as text.
    running: Mutex<HashMap<String, AbortHandle>>,
    places: Semaphore,
    output: Output,
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bridge {
    /// Until there is no more input.
    async fn pass_on(self: &Arc<Self>) -> Result<(), Error> {
        let mut input = BufReader::new(tokio::io::stdin());
        let mut tasks = JoinSet::new();
        while let Some(line) = line(&mut input).await? {
            while tasks.try_join_next().is_some() {}
            let message = match line {
                Ok(line) if line.trim_ascii().is_empty() => continue,
                Ok(line) => serde_json::from_slice::<Value>(&line).map_err(|_| "this is not JSON"),
                Err(why) => Err(why),
            };
            match message {
                Err(why) => say(&error(&Value::Null, PARSE, why, None)),
                // What opens a session comes before what is said in it, and what takes back does not wait for a place.
                Ok(message) if is_opening(&message) => self.exchange(&message).await,
                Ok(message) if message["method"] == "notifications/cancelled" => {
                    if !self.cancelled(&message) {
                        self.exchange(&message).await;
                    }
                }
                Ok(message) => {
                    let id = message.get("id").map(Value::to_string);
                    let bridge = Arc::clone(self);
                    // Held until the task is known under its id, so that its end finds it.
                    let mut running = held(&self.running);
                    let task = tasks.spawn(async move {
                        let _known = Known(&bridge, message.get("id").map(Value::to_string));
                        // The semaphore is never closed.
                        let _place = bridge.places.acquire().await;
                        bridge.exchange(&message).await;
                    });
                    if let Some(id) = id {
                        running.insert(id, task);
                    }
                }
            }
        }
        let _ = tokio::time::timeout(LAST_WAIT, async { while tasks.join_next().await.is_some() {} }).await;
        let session = held(&self.session).clone();
        self.endpoint.end(&session).await;
        Ok(())
    }

    /// A request that is taken back. Without sessions that is said by hanging up; with one, by passing it on.
    fn cancelled(&self, message: &Value) -> bool {
        let stateless = held(&self.session).id.is_none();
        let task = held(&self.running).get(&message["params"]["requestId"].to_string()).cloned();
        if let Some(task) = task.filter(|_| stateless) {
            task.abort();
        }
        stateless
    }

    /// Sends a message and prints what comes back.
    async fn exchange(&self, message: &Value) {
        let session = held(&self.session).id.clone();
        let mut ended = self.relay(message).await;
        if let Err(Miss::Refused(problem)) = &ended
            && problem.code == "SESSION_NOT_FOUND"
            && self.reopen(session).await
        {
            ended = self.relay(message).await;
        }
        let (Err(miss), Some(id)) = (ended, message.get("id").filter(|_| message.get("method").is_some())) else {
            return;
        };
        let (words, data) = match &miss {
            Miss::Away(why) => (format!("cannot talk to the server: {why}"), None),
            Miss::Refused(problem) => {
                (format!("{}: {}", problem.code, problem.error), serde_json::to_value(problem).ok())
            }
        };
        self.output.note(&format!("mcp: {miss}"));
        say(&error(id, INTERNAL, &words, data));
    }

    async fn relay(&self, message: &Value) -> Result<(), Miss> {
        let opens = message["method"] == "initialize";
        let session = if opens { Session::default() } else { held(&self.session).clone() };
        let mut frames = self.endpoint.post(message, &session).await?;
        let mut answered = message.get("id").is_none() || message.get("method").is_none();
        while let Some(mut answer) = frames.next().await? {
            if opens && answer.get("result").is_some() {
                let revision = answer["result"]["protocolVersion"].as_str().map(str::to_owned);
                *held(&self.session) = Session { id: frames.session.clone(), revision };
                *held(&self.hello) = Some(message.clone());
            }
            if answer.get("method").is_none() {
                // What the server could not read it answers without an id; it answers this message.
                if answer["id"].is_null() {
                    answer["id"] = message["id"].clone();
                }
                answered |= answer["id"] == message["id"];
            }
            say(&answer);
        }
        if answered { Ok(()) } else { Err(Miss::Away("the answer broke off")) }
    }

    /// Opens the session again that the server has forgotten, as the client opened it. The client does not notice.
    async fn reopen(&self, forgotten: Option<String>) -> bool {
        let _one = self.reopening.lock().await;
        if held(&self.session).id != forgotten {
            // Somebody was faster.
            return true;
        }
        let Some(hello) = held(&self.hello).clone() else { return false };
        let opened = async {
            let mut frames = self.endpoint.post(&hello, &Session::default()).await?;
            let mut revision = None;
            while let Some(answer) = frames.next().await? {
                revision = answer["result"]["protocolVersion"].as_str().map(str::to_owned).or(revision);
            }
            let session = Session { id: frames.session.clone(), revision };
            let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            self.endpoint.post(&ready, &session).await?;
            Ok::<_, Miss>(session)
        };
        match opened.await {
            Ok(session) => {
                *held(&self.session) = session;
                true
            }
            Err(_) => false,
        }
    }
}

/// A request under way; not any more when this is dropped, however it ended.
struct Known<'a>(&'a Bridge, Option<String>);

impl Drop for Known<'_> {
    fn drop(&mut self) {
        if let Some(id) = &self.1 {
            held(&self.0.running).remove(id);
        }
    }
}

/// Whether the rest of the conversation stands on it.
fn is_opening(message: &Value) -> bool {
    revision_of(message).is_none()
        && matches!(message["method"].as_str(), Some("initialize" | "notifications/initialized"))
}

fn error(id: &Value, code: i64, words: &str, data: Option<Value>) -> Value {
    let mut error = json!({"code": code, "message": words});
    if let Some(data) = data {
        error["data"] = data;
    }
    json!({"jsonrpc": "2.0", "id": id, "error": error})
}

/// One message to the client: one line.
fn say(message: &Value) {
    let mut out = std::io::stdout().lock();
    // A client that went away is noticed at its end of the input.
    let _ = writeln!(out, "{message}").and_then(|()| out.flush());
}

/// The next line. One that is too long is thrown away to its end.
async fn line(input: &mut BufReader<tokio::io::Stdin>) -> Result<Option<Result<Vec<u8>, &'static str>>, Error> {
    let (mut line, mut long, mut any) = (Vec::new(), false, false);
    loop {
        let read =
            input.fill_buf().await.map_err(|error| Error::fault(format!("cannot read standard input: {error}")))?;
        if read.is_empty() {
            return Ok(any.then_some(if long { Err("this line is too long") } else { Ok(line) }));
        }
        any = true;
        let end = read.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(read, |end| &read[..end]);
        long |= line.len() + part.len() > LINE_BYTES_MAX;
        if long {
            line.clear();
        } else {
            line.extend_from_slice(part);
        }
        let used = end.map_or(read.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(Some(if long { Err("this line is too long") } else { Ok(line) }));
        }
    }
}
