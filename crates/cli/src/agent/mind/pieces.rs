//! An answer of a model that comes in pieces: server-sent events, each a change of the answer so far.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::model::Said;
use super::tools::{Function, ToolCall};
use super::{CALLS_KEPT_MAX, bounded};

/// Longest line of a stream, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// What has come so far.
#[derive(Default)]
pub struct Pieces {
    line: Vec<u8>,
    text: String,
    calls: BTreeMap<usize, ToolCall>,
    /// The answer was said to be over.
    over: bool,
    /// The stream was: what comes after it is nothing.
    done: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
    tool_calls: Option<Vec<Part>>,
}

/// A part of a call: the first one names it, the others add to its arguments.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    index: usize,
    id: Option<String>,
    function: Option<FunctionPart>,
}

#[derive(Deserialize)]
struct FunctionPart {
    name: Option<String>,
    arguments: Option<String>,
}

impl Pieces {
    /// Takes what has arrived, however it was cut.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            if *byte != b'\n' {
                if self.line.len() >= LINE_BYTES_MAX {
                    return Err("the model's answer has a line that is too long".into());
                }
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            self.take(&line)?;
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        let Some(data) = line.strip_prefix(b"data:") else { return Ok(()) };
        let data = data.trim_ascii();
        if self.done || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            (self.over, self.done) = (true, true);
            return Ok(());
        }
        // The parser's words may quote the answer; its place is enough.
        let chunk: Chunk = serde_json::from_slice(data)
            .map_err(|error| format!("a piece of the model's answer cannot be read (column {})", error.column()))?;
        if chunk.error.is_some() {
            return Err("the model's endpoint broke its answer off with an error".into());
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(()) };
        // Some say it with every piece, and mean nothing by an empty one.
        self.over |= choice.finish_reason.is_some_and(|reason| !reason.is_empty());
        self.text.push_str(choice.delta.content.as_deref().unwrap_or_default());
        choice.delta.tool_calls.into_iter().flatten().try_for_each(|part| self.call(part))
    }

    fn call(&mut self, part: Part) -> Result<(), String> {
        if part.index >= CALLS_KEPT_MAX {
            return Err("the model calls too many tools at once".into());
        }
        let call = self.calls.entry(part.index).or_insert_with(|| ToolCall {
            id: String::new(),
            kind: "function".to_owned(),
            function: Function { name: String::new(), arguments: String::new() },
        });
        if let Some(id) = part.id.filter(|_| call.id.is_empty()) {
            call.id = id;
        }
        if let Some(function) = part.function {
            call.function.name.push_str(function.name.as_deref().unwrap_or_default());
            call.function.arguments.push_str(function.arguments.as_deref().unwrap_or_default());
        }
        Ok(())
    }

    /// The text until now.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The whole of it, once the stream has ended.
    pub fn finish(mut self) -> Result<Said, String> {
        let rest = std::mem::take(&mut self.line);
        self.take(&rest)?;
        // An answer that nobody ended may be half of one: of a text, or of what a tool is called with.
        if !self.over {
            return Err("the model's answer broke off".into());
        }
        if self.calls.values().any(|call| call.id.is_empty() || call.function.name.is_empty()) {
            return Err("the model calls a tool without naming it".into());
        }
        if !self.calls.is_empty() {
            return Ok(Said::Calls(self.calls.into_values().collect()));
        }
        Ok(Said::Text(bounded(self.text, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &str, step: usize) -> Result<Said, String> {
        let mut pieces = Pieces::default();
        stream.as_bytes().chunks(step).try_for_each(|part| pieces.push(part))?;
        pieces.finish()
    }

    #[test]
    fn a_text_is_put_together_however_it_was_cut() {
        let stream = ": hello\r\n\r\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n\
                      data: {\"choices\":[{\"delta\":{\"content\":\"Grü\"}}]}\n\ndata:{\"choices\":[{\"delta\":{\"content\":\"ße\"}}]}\n\n\
                      data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";
        for step in 1..=stream.len() {
            assert_eq!(read(stream, step), Ok(Said::Text("Grüße".into())), "in steps of {step}");
        }
    }

    #[test]
    fn a_call_is_put_together_from_its_parts() {
        let stream = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"list_peers\",\"arguments\":\"{\"}}]}}]}\n\n\
                      data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]}}]}\n\ndata: [DONE]\n\n";
        let Ok(Said::Calls(calls)) = read(stream, 7) else { panic!("no calls") };
        assert_eq!((calls[0].id.as_str(), calls[0].function.name.as_str()), ("a", "list_peers"));
        assert_eq!(calls[0].function.arguments, "{}");
    }

    const CALL: &str = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"list_peers\",\"arguments\":\"{}\"}}]}}]}\n\n";

    #[test]
    fn a_call_counts_only_when_the_stream_said_it_was_over() {
        // Its arguments read well, and may still be half of what was meant.
        assert!(read(CALL, 9).is_err_and(|said| said.contains("broke off")));
        let named = format!("{CALL}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":null}}]}}\n\n");
        assert!(read(&named, 9).is_err_and(|said| said.contains("broke off")));
        let empty = format!("{CALL}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"\"}}]}}\n\n");
        assert!(read(&empty, 9).is_err_and(|said| said.contains("broke off")));
        for over in ["data: [DONE]\n\n", "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n"] {
            let stream = format!("{CALL}{over}");
            for step in [1, 7, stream.len()] {
                assert!(matches!(read(&stream, step), Ok(Said::Calls(calls)) if calls.len() == 1), "{over}");
            }
        }
    }

    #[test]
    fn a_text_whose_last_piece_says_why_it_ends_is_whole() {
        let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"all\"},\"finish_reason\":null}]}\n\n\
                      data: {\"choices\":[{\"delta\":{\"content\":\" of it\"},\"finish_reason\":\"stop\"}]}\n\n";
        assert_eq!(read(stream, 11), Ok(Said::Text("all of it".into())));
    }

    #[test]
    fn what_breaks_off_or_is_no_answer_is_said_and_never_taken_for_one() {
        for (stream, why) in [
            ("data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n", "broke off"),
            ("", "broke off"),
            ("data: {\"error\":{\"message\":\"overloaded\"}}\n\n", "with an error"),
            ("data: {nonsense\n\n", "cannot be read"),
            (
                "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}\n\ndata: [DONE]\n\n",
                "without naming",
            ),
            (
                "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":9999,\"id\":\"a\"}]}}]}\n\n",
                "too many tools",
            ),
        ] {
            assert!(read(stream, 5).is_err_and(|said| said.contains(why)), "{stream}");
        }
    }
}
