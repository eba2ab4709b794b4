//! `--model`: a model behind an OpenAI-compatible endpoint.
//!
//! The key goes to the endpoint and nowhere else: no redirect is followed, and no error quotes it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Value, json};

use super::conversation::{Memory, Role, Said as Spoken};
use super::pieces::Pieces;
use super::tools::{CALLS_MAX, ToolCall, Tools};
use super::{Ending, SoFar, bounded};
use crate::agent::delivered::Delivered;
use crate::agent::plane::{self, Message, Plane};
use crate::client;
use crate::error::Error;
use crate::hidden::Hidden;
use crate::output::Output;

/// Most attempts at one answer.
const ATTEMPTS_MAX: u32 = 5;
/// Longest wait for one answer: models think.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// The wait after the first failure; doubles.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
/// Longest wait between attempts, whatever the endpoint asks for.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// How much of an endpoint's complaint is quoted, in characters.
const COMPLAINT_CHARS_MAX: usize = 500;
/// How much of the open conversation goes into the hand-off note.
const NOTE_MESSAGES_MAX: usize = 10;
const NOTE_MESSAGE_CHARS_MAX: usize = 300;
/// Most rounds of tools in one turn.
const ROUNDS_MAX: usize = 24;
/// Said where a model calls tools that nobody offered it.
const NO_TOOLS: &str = "the model asked for tools, and none were offered";
/// The result of a call beyond [`CALLS_MAX`].
const TOO_MANY: &str = "REFUSED: too many calls at once; at most 16";

/// A model that answers.
pub struct Model {
    name: String,
    url: reqwest::Url,
    key_name: Option<String>,
    instructions: Option<String>,
    offers_tools: bool,
    plane: Option<Arc<Plane>>,
    memory: Memory,
    http: reqwest::Client,
    output: Output,
}

impl Model {
    /// From the command line.
    pub fn new(
        name: &str,
        base: &str,
        key: Option<&str>,
        instructions: Option<&str>,
        output: Output,
    ) -> Result<Self, Error> {
        let url = client::parse_base(&format!("{}/chat/completions", base.trim_end_matches('/')))?;
        let http = plane::http(&url)?;
        let (key_name, instructions) = (key.map(str::to_owned), instructions.map(str::to_owned));
        let memory = Memory::default();
        let name = name.into();
        Ok(Self { name, url, key_name, instructions, offers_tools: true, plane: None, memory, http, output })
    }

    /// For endpoints that know no tools.
    pub fn without_tools(self) -> Self {
        Self { offers_tools: false, ..self }
    }

    /// The control plane whose tools it may use.
    pub fn works_through(&mut self, plane: &Arc<Plane>) {
        self.plane = Some(Arc::clone(plane));
    }

    /// Whether its key is there.
    pub fn check(&self, delivered: &Delivered) -> Result<(), Error> {
        self.key(delivered).map(drop).map_err(Error::usage)
    }

    fn key(&self, delivered: &Delivered) -> Result<Option<Hidden>, String> {
        let Some(name) = &self.key_name else { return Ok(None) };
        let key = delivered.value(name).ok_or_else(|| format!("the endpoint's key `{name}` is not set"))?;
        Ok(Some(key))
    }

    /// Answers one message: asks the model, runs the tools it calls, and asks again, until it has an answer.
    pub async fn answer(&mut self, message: &Message, delivered: &Delivered, so_far: &SoFar) -> Ending {
        let conversation = conversation_of(message);
        match self.converse(&conversation, &message.text, delivered, so_far).await {
            Ok(reply) => {
                self.memory.remember(&conversation, message.text.clone(), reply.clone());
                Ending::Reply(reply)
            }
            Err(why) => Ending::Failed(why),
        }
    }

    async fn converse(
        &self,
        conversation: &str,
        text: &str,
        delivered: &Delivered,
        so_far: &SoFar,
    ) -> Result<String, String> {
        let tools = match &self.plane {
            Some(plane) if self.offers_tools => Some(Tools::of(plane).await?),
            _ => None,
        };
        let mut request = self.request(conversation, text, delivered);
        if let Some(tools) = &tools {
            request["tools"] = tools.offered().into();
        }
        for _ in 0..ROUNDS_MAX {
            let calls = match self.ask(&request, delivered, so_far).await? {
                Said::Text(reply) => return Ok(reply),
                Said::Calls(calls) => calls,
            };
            let Some(tools) = &tools else { return Err(NO_TOOLS.to_owned()) };
            let mut turn = vec![json!({"role": "assistant", "content": null, "tool_calls": calls})];
            for (number, call) in calls.iter().enumerate() {
                let result = if number < CALLS_MAX { tools.run(call).await } else { TOO_MANY.to_owned() };
                turn.push(json!({"role": "tool", "tool_call_id": call.id, "content": result}));
            }
            if let Some(messages) = request["messages"].as_array_mut() {
                messages.extend(turn);
            }
        }
        Err(format!("the model had no answer after {ROUNDS_MAX} rounds of tools"))
    }

    fn request(&self, conversation: &str, text: &str, delivered: &Delivered) -> Value {
        let mut messages = Vec::new();
        let mut system = |content: String| messages.push(Spoken { role: Role::System, content });
        if let Some(instructions) = &self.instructions {
            system(instructions.clone());
        }
        if let Some(context) = &delivered.context {
            system(format!("You were started anew. What is known about it, as JSON: {context}"));
        }
        messages.extend(self.memory.past(conversation).cloned());
        messages.push(Spoken { role: Role::User, content: text.to_owned() });
        json!({"model": self.name, "messages": messages, "stream": true})
    }

    async fn ask(&self, request: &Value, delivered: &Delivered, so_far: &SoFar) -> Result<Said, String> {
        let key = self.key(delivered)?;
        let mut pause = BACK_OFF_FIRST;
        let mut attempt = 1;
        loop {
            let (why, asked) = match self.attempt(request, key.as_ref(), delivered, so_far).await {
                Ok(reply) => return Ok(reply),
                Err(Trouble::Final(why)) => return Err(why),
                Err(Trouble::Passing(why, asked)) => (why, asked),
            };
            if attempt == ATTEMPTS_MAX {
                return Err(format!("{why}, {ATTEMPTS_MAX} times"));
            }
            self.output.note(&format!("agent: {why}; attempt {attempt} of {ATTEMPTS_MAX}"));
            tokio::time::sleep(asked.unwrap_or(pause).min(BACK_OFF_MAX)).await;
            pause = (pause * 2).min(BACK_OFF_MAX);
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        request: &Value,
        key: Option<&Hidden>,
        delivered: &Delivered,
        so_far: &SoFar,
    ) -> Result<Said, Trouble> {
        let body = request.to_string();
        let mut call = self.http.post(self.url.clone()).timeout(ANSWER_TIMEOUT).body(body);
        call = call.header("content-type", "application/json");
        if let Some(key) = key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal()))
                .map_err(|_| Trouble::Final("the endpoint's key cannot be sent in a header".into()))?;
            value.set_sensitive(true);
            call = call.header(AUTHORIZATION, value);
        }
        let passing = |why| Trouble::Passing(format!("the model's endpoint: {why}"), None);
        let mut response = call.send().await.map_err(|error| passing(plane::why(&error)))?;
        let status = response.status().as_u16();
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if (200..=299).contains(&status) && kind.starts_with("text/event-stream") {
            return listen(&mut response, so_far).await;
        }
        // An endpoint that does not stream answers as a whole.
        let answer = plane::read_at_most(&mut response, ANSWER_BYTES_MAX).await.map_err(passing)?;
        match status {
            200..=299 => read(&answer).map_err(Trouble::Final),
            // The words of a passing trouble say nothing that the status does not.
            408 | 425 | 429 | 500.. => {
                Err(Trouble::Passing(format!("the model's endpoint answered {status}"), asked.map(Duration::from_secs)))
            }
            _ => Err(Trouble::Final(format!(
                "the model's endpoint answered {status}: {}",
                cut(&delivered.redact(&complaint(&answer, key.map(Hidden::reveal))), COMPLAINT_CHARS_MAX)
            ))),
        }
    }

    /// The end of the conversation that spoke last.
    pub fn open_conversation(&self, delivered: &Delivered) -> Vec<String> {
        let Some((id, past)) = self.memory.latest() else { return Vec::new() };
        let past: Vec<_> = past.collect();
        let first = past.len().saturating_sub(NOTE_MESSAGES_MAX);
        let lines = past[first..].iter().map(|said| {
            let who = if said.role == Role::Assistant { "I" } else { "they" };
            format!("{who}: {}", cut(&delivered.redact(&said.content), NOTE_MESSAGE_CHARS_MAX))
        });
        std::iter::once(format!("conversation {}", cut(id, NOTE_MESSAGE_CHARS_MAX))).chain(lines).collect()
    }
}

/// Each sender has conversations of its own, told apart by their contexts: two senders never see each other's, also not by
/// a context that one of them guessed.
fn conversation_of(message: &Message) -> String {
    let sender = format!("sender {} {}", message.from.kind, message.from.id);
    message.context_id.as_ref().map_or_else(|| sender.clone(), |context| format!("{sender} context {context}"))
}

/// An answer as it comes. One that broke off is not asked for again: half of it was shown, and the next would be another.
async fn listen(response: &mut reqwest::Response, so_far: &SoFar) -> Result<Said, Trouble> {
    let (mut pieces, mut bytes) = (Pieces::default(), 0);
    loop {
        let broke = |error| Trouble::Final(format!("the model's endpoint: {}", plane::why(&error)));
        let Some(chunk) = response.chunk().await.map_err(broke)? else { break };
        bytes += chunk.len();
        if bytes > ANSWER_BYTES_MAX {
            return Err(Trouble::Final("the model's answer is too long".into()));
        }
        pieces.push(&chunk).map_err(Trouble::Final)?;
        so_far.say(pieces.text().as_bytes());
    }
    pieces.finish().map_err(Trouble::Final)
}

enum Trouble {
    /// Asking again changes nothing.
    Final(String),
    /// It may pass, after this long if the endpoint said so.
    Passing(String, Option<Duration>),
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Reply,
}

#[derive(Deserialize)]
struct Reply {
    content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
}

/// What a model said.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Its answer.
    Text(String),
    /// What it wants to know or do first.
    Calls(Vec<ToolCall>),
}

fn read(answer: &[u8]) -> Result<Said, String> {
    // The parser's words may quote the answer; its place is enough.
    let completion: Completion = serde_json::from_slice(answer).map_err(|error| {
        format!("the model's answer cannot be read (line {}, column {})", error.line(), error.column())
    })?;
    let Some(choice) = completion.choices.into_iter().next() else {
        return Err("the model's answer has no choice".into());
    };
    if let Some(calls) = choice.message.tool_calls.filter(|calls| !calls.is_empty()) {
        return Ok(Said::Calls(calls));
    }
    let text = choice.message.content.ok_or("the model's answer has no text")?;
    Ok(Said::Text(bounded(text, 0)))
}

/// What the endpoint says is wrong; endpoints like to repeat the key.
fn complaint(answer: &[u8], key: Option<&str>) -> String {
    let said: Value = serde_json::from_slice(answer).unwrap_or_default();
    let text = said["error"]["message"].as_str().or(said["error"].as_str()).unwrap_or("no reason given");
    match key.filter(|key| !key.is_empty()) {
        Some(key) => text.replace(key, "[redacted]"),
        None => text.to_owned(),
    }
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_first_text() {
        assert_eq!(
            read(br#"{"choices":[{"message":{"role":"assistant","content":"hi"}}]}"#),
            Ok(Said::Text("hi".into()))
        );
        for bad in [
            r#"{"choices":[]}"#,
            r#"{"choices":[{"message":{"content":null}}]}"#,
            r#"{"choices":[{"message":{"content":"x","tool_calls":[{"id":"1"}]}}]}"#,
            "",
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_complaint_does_not_repeat_the_key() {
        let said = complaint(br#"{"error":{"message":"bad key abc-1 given"}}"#, Some("abc-1"));
        assert_eq!(said, "bad key [redacted] given");
        assert_eq!(complaint(b"<html>", None), "no reason given");
    }
}
