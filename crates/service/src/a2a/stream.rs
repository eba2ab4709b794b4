//! The stream of one task: the task first, then what happens to it, in the order of the rows. Closing a stream touches
//! neither the task nor any other stream. There is no position to resume from: one subscribes again.

use std::{collections::VecDeque, convert::Infallible};

use a2a::StreamResponse;
use axum::{body::Bytes, response::Response};
use futures_util::stream;
use portcullis_authority::TaskView;
use serde_json::{Value, json};

use super::{
    task::{self, Stage},
    watch::{Watch, Woken},
};
use crate::call::event_stream;

/// What an event is wrapped in.
pub(super) enum Frame {
    /// An answer of JSON-RPC, to the request with this id.
    Rpc(Value),
    /// Nothing.
    Rest,
}

impl Frame {
    fn text(&self, event: &StreamResponse) -> Bytes {
        let data = match self {
            Self::Rpc(id) => json!({"jsonrpc": "2.0", "id": id, "result": event}),
            Self::Rest => json!(event),
        };
        Bytes::from(format!("data: {data}\n\n"))
    }
}

struct Stream {
    watch: Watch,
    frame: Frame,
    told: Stage,
    ready: VecDeque<Bytes>,
}

/// The answer that streams a task which was looked at just now.
pub(super) fn response(watch: Watch, frame: Frame, view: &TaskView, history_length: Option<i32>) -> Response {
    let first = frame.text(&StreamResponse::Task(task::task(view, history_length, true)));
    let stream = Stream { watch, frame, told: task::stage(view), ready: VecDeque::from([first]) };
    event_stream(stream::unfold(stream, next))
}

async fn next(mut stream: Stream) -> Option<(Result<Bytes, Infallible>, Stream)> {
    loop {
        if let Some(event) = stream.ready.pop_front() {
            return Some((Ok(event), stream));
        }
        if stream.told == Stage::Over {
            return None;
        }
        match stream.watch.wait().await {
            // The client subscribes again, to whoever serves then.
            Woken::Stop => return None,
            Woken::Heartbeat => stream.ready.push_back(Bytes::from(": \n\n")),
            Woken::Commit => {}
        }
        // Refused or unreadable: the stream ends. The client comes back and is told why.
        let view = stream.watch.look().await.ok()?;
        stream.ready.extend(task::news(&view, stream.told).iter().map(|event| stream.frame.text(event)));
        stream.told = task::stage(&view);
    }
}
