//! The minds of the built-in agent: what turns a message into a reply.

mod conversation;
mod echo;
mod exec;
mod model;
mod tools;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::agent::args::AgentArgs;
use crate::agent::delivered::Delivered;
use crate::agent::plane::{Message, Plane};
use crate::error::Error;
use crate::output::Output;

/// Longest reply that the control plane takes, in bytes. What is beyond is dropped, and the reply says so.
pub const REPLY_BYTES_MAX: usize = 1 << 20;
/// Room for the words that say so.
const CUT_NOTE_BYTES: usize = 64;

/// A reply within the limit, its note included. `dropped` bytes were dropped already.
pub fn bounded(mut text: String, dropped: u64) -> String {
    if dropped == 0 && text.len() <= REPLY_BYTES_MAX {
        return text;
    }
    let end = super::boundary(&text, REPLY_BYTES_MAX - CUT_NOTE_BYTES);
    let dropped = dropped + (text.len() - end) as u64;
    text.truncate(end);
    text.push_str(&format!("\n[portcullis: {dropped} more bytes were dropped]"));
    text
}

/// Longest reply that is shown while it is being written, in bytes; a longer one is seen when it is there.
const SO_FAR_BYTES_MAX: usize = 64 * 1024;

/// What a mind has written of its reply.
pub struct SoFar(watch::Sender<String>);

impl SoFar {
    /// Nothing yet; and where to watch it.
    pub fn new() -> (Self, watch::Receiver<String>) {
        let (sender, receiver) = watch::channel(String::new());
        (Self(sender), receiver)
    }

    /// All of it until now. Only complete lines are of use to anybody, so the rest is not said yet.
    fn say(&self, reply: &[u8]) {
        let end = reply.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if end > SO_FAR_BYTES_MAX || end == self.0.borrow().len() {
            return;
        }
        let text = String::from_utf8_lossy(&reply[..end]).replace('\0', "\u{fffd}");
        if text.len() <= SO_FAR_BYTES_MAX {
            self.0.send_replace(text);
        }
    }
}

/// How a turn ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this reply.
    Reply(String),
    /// Without one, and why.
    Failed(String),
    /// The process is to end now, without a word to anybody.
    Die,
}

/// One of the minds.
pub enum Mind {
    /// Answers what it hears.
    Echo,
    /// Asks a command.
    Exec(exec::Exec),
    /// Asks a model.
    Model(Box<model::Model>),
}

impl Mind {
    /// The mind the command line names.
    pub fn new(args: &AgentArgs, output: Output) -> Result<Self, Error> {
        if let Some(text) = &args.exec {
            return Ok(Self::Exec(exec::Exec::new(exec::words_of_line(text)?, output)?));
        }
        if let Some(text) = &args.exec_json {
            return Ok(Self::Exec(exec::Exec::new(exec::words_of_json(text)?, output)?));
        }
        if let (Some(name), Some(base)) = (&args.model, &args.base_url) {
            let model = model::Model::new(name, base, args.key_env.as_deref(), args.instructions.as_deref(), output)?;
            let model = if args.no_tools { model.without_tools() } else { model };
            return Ok(Self::Model(Box::new(model)));
        }
        Ok(Self::Echo)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Exec(_) => "exec",
            Self::Model(_) => "model",
        }
    }

    /// What it needs and does not have: found out at the start, not at the first message.
    pub fn check(&self, delivered: &Delivered) -> Result<(), Error> {
        match self {
            Self::Echo | Self::Exec(_) => Ok(()),
            Self::Model(model) => model.check(delivered),
        }
    }

    /// Tells it where the restart context is, if that is not in its environment already.
    pub fn context_is_in(&mut self, file: PathBuf) {
        if let Self::Exec(exec) = self {
            exec.context_is_in(file);
        }
    }

    /// Gives it the platform's tools, if it can use any.
    pub fn works_through(&mut self, plane: &Arc<Plane>) {
        if let Self::Model(model) = self {
            model.works_through(plane);
        }
    }

    /// Answers one message.
    pub async fn answer(&mut self, message: &Message, turn: &str, delivered: &Delivered, so_far: &SoFar) -> Ending {
        match self {
            Self::Echo => echo::answer(message, delivered).await,
            Self::Exec(exec) => exec.answer(message, turn, delivered, so_far).await,
            Self::Model(model) => model.answer(message, delivered).await,
        }
    }

    /// The end of the conversation it is in, line by line.
    pub fn open_conversation(&self, delivered: &Delivered) -> Vec<String> {
        match self {
            Self::Echo | Self::Exec(_) => Vec::new(),
            Self::Model(model) => model.open_conversation(delivered),
        }
    }
}
