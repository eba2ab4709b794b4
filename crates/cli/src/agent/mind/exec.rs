//! `--exec`: one process per message, so that any command-line agent works. The message is its standard input, what it
//! writes is the reply.
//!
//! Every stream has a limit and is read to its end all the same: a command that floods must not block, and not grow the
//! agent. The command has a process group of its own, which ends with the turn whatever it left behind.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Ending, REPLY_BYTES_MAX, SoFar, bounded};
use crate::agent::delivered::Delivered;
use crate::agent::plane::Message;
use crate::error::Error;
use crate::output::Output;

/// How much of the end of standard error an error quotes, in bytes.
const ERROR_QUOTE_BYTES: usize = 2 * 1024;
/// How much of it is kept: more, since a value that was cut in half would not be recognised and taken out.
const ERROR_TAIL_BYTES: usize = ERROR_QUOTE_BYTES + 64 * 1024;
/// How much is read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long streams are read that somebody else holds open after the command has ended.
const LEFT_OPEN: Duration = Duration::from_millis(500);

/// The words of a line, as a shell splits them.
pub fn words_of_line(text: &str) -> Result<Vec<String>, Error> {
    shell_words::split(text).map_err(|_| Error::usage("--exec has a quote that is not closed"))
}

/// The words as JSON.
pub fn words_of_json(text: &str) -> Result<Vec<String>, Error> {
    serde_json::from_str(text).map_err(|_| Error::usage("--exec-json is not a JSON array of texts"))
}

/// A command that answers.
pub struct Exec {
    program: String,
    arguments: Vec<String>,
    context_file: Option<PathBuf>,
    output: Output,
}

impl Exec {
    /// Program and arguments; at least the program.
    pub fn new(words: Vec<String>, output: Output) -> Result<Self, Error> {
        if words.iter().any(|word| word.contains('\0')) {
            return Err(Error::usage("a word of the command holds a NUL"));
        }
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| Error::usage("the command is empty"))?;
        Ok(Self { program, arguments: words.collect(), context_file: None, output })
    }

    /// Where the restart context is.
    pub fn context_is_in(&mut self, file: PathBuf) {
        self.context_file = Some(file);
    }

    /// Runs the command for one message.
    pub async fn answer(&self, message: &Message, turn: &str, delivered: &Delivered, so_far: &SoFar) -> Ending {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        delivered.lend(&mut command, self.context_file.as_deref());
        command.env("PORTCULLIS_TURN_ID", turn);
        // Written by the sender; a NUL cannot be in an environment.
        match message.context_id.as_deref().filter(|id| !id.contains('\0')) {
            Some(id) => command.env("PORTCULLIS_CONTEXT_ID", id),
            None => command.env_remove("PORTCULLIS_CONTEXT_ID"),
        };
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ending::Failed(format!("the command cannot be started: {error}")),
        };
        let _group = Group::of(&child);
        let (mut reply, mut errors) = (Head::default(), Tail::default());
        match self.run(child, &message.text, &mut reply, &mut errors, so_far).await {
            Err(error) => Ending::Failed(format!("the command cannot be watched: {error}")),
            Ok(status) if status.success() => Ending::Reply(reply.text()),
            Ok(status) => Ending::Failed(failure(status, last(&delivered.redact(&errors.text())))),
        }
    }

    async fn run(
        &self,
        mut child: Child,
        text: &str,
        reply: &mut Head,
        errors: &mut Tail,
        so_far: &SoFar,
    ) -> std::io::Result<ExitStatus> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A command that does not want the message is not wrong: its answer counts, not its reading.
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let listen = read(stdout, |bytes| {
            reply.push(bytes);
            so_far.say(&reply.kept);
        });
        let complain = read(stderr, |bytes| {
            errors.push(bytes);
            self.output.pass(bytes);
        });
        let mut streams = std::pin::pin!(async { tokio::join!(feed, listen, complain) });
        let mut closed = false;
        loop {
            tokio::select! {
                status = child.wait() => {
                    if !closed {
                        // What is in the pipes belongs to the reply; whoever still holds them open does not.
                        let _ = tokio::time::timeout(LEFT_OPEN, &mut streams).await;
                    }
                    return status;
                }
                _ = &mut streams, if !closed => closed = true,
            }
        }
    }
}

/// The end of a text, as much as an error quotes.
fn last(text: &str) -> &str {
    let surplus = text.len().saturating_sub(ERROR_QUOTE_BYTES);
    (surplus..=text.len()).find_map(|at| text.get(at..)).unwrap_or_default()
}

fn failure(status: ExitStatus, errors: &str) -> String {
    let errors = errors.trim_end();
    let separator = if errors.is_empty() { "" } else { ": " };
    match status.code() {
        Some(code) => format!("the command ended with exit code {code}{separator}{errors}"),
        None => format!("the command was killed ({status}){separator}{errors}"),
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; CHUNK_BYTES];
    // A pipe that cannot be read has nothing more to say.
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        take(&chunk[..count]);
    }
}

/// The beginning of a stream, and how much came after it.
#[derive(Default)]
struct Head {
    kept: Vec<u8>,
    dropped: u64,
}

impl Head {
    fn push(&mut self, bytes: &[u8]) {
        let room = (REPLY_BYTES_MAX - self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..room]);
        self.dropped += (bytes.len() - room) as u64;
    }

    fn text(&self) -> String {
        // A text may end in the middle of a character where it was cut; a NUL is no text to a database.
        let text = String::from_utf8_lossy(&self.kept).replace('\0', "\u{fffd}");
        let text = match text.strip_suffix('\n') {
            Some(whole) if self.dropped == 0 => whole.to_owned(),
            _ => text,
        };
        // Replacing made it longer; so it is bounded once more.
        bounded(text, self.dropped)
    }
}

/// The end of a stream.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let surplus = self.0.len().saturating_sub(ERROR_TAIL_BYTES);
        self.0.drain(..surplus);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).replace('\0', "\u{fffd}")
    }
}

/// The command's process group; ends with it.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // An empty group is what it should be.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does_and_nothing_is_expanded() {
        assert_eq!(words_of_line(r#"a 'b c' "d\"e" $HOME *"#).unwrap(), ["a", "b c", "d\"e", "$HOME", "*"]);
        assert!(words_of_line("a 'b").is_err());
        assert_eq!(words_of_json(r#"["a","b c"]"#).unwrap(), ["a", "b c"]);
        assert!(words_of_json("{}").is_err());
        assert!(Exec::new(Vec::new(), Output::new(false)).is_err());
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut head = Head::default();
        for _ in 0..3 {
            head.push(&[b'x'; REPLY_BYTES_MAX / 2]);
        }
        assert_eq!(head.kept.len(), REPLY_BYTES_MAX);
        let text = head.text();
        assert!(text.len() <= REPLY_BYTES_MAX && text.ends_with(" more bytes were dropped]"));
        // What is no text is replaced by something longer.
        let mut head = Head::default();
        head.push(&[0xff; REPLY_BYTES_MAX]);
        assert!(head.text().len() <= REPLY_BYTES_MAX);
        let mut tail = Tail::default();
        tail.push(&[b'a'; ERROR_TAIL_BYTES]);
        tail.push(b"end");
        assert_eq!(tail.0.len(), ERROR_TAIL_BYTES);
        assert!(last(&tail.text()).ends_with("aend"));
        assert_eq!(last(&tail.text()).len(), ERROR_QUOTE_BYTES);
        assert_eq!(last(&"é".repeat(ERROR_QUOTE_BYTES)).len(), ERROR_QUOTE_BYTES);
    }
}
