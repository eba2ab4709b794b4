//! Live events: one authenticated stream over the durable event log, resumable by position.
//!
//! `id:` is the position. `Last-Event-ID` or `?after=` resumes; without either the stream begins now. When the position
//! is gone, or ahead of the log, a `reset` tells the client to load its state anew. Who listens is looked at again with
//! every batch: a revoked session ends its stream.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{body::Bytes, response::Response};
use futures_util::stream;
use portcullis_authority::{Authority, Refusal, Seen};
use portcullis_kernel::{refusal::Code, scope::Scope};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    app::stops,
    call::{Call, event_stream},
    live::{Live, SoFar},
    presence::Presence,
    turns::Turns,
};

/// Events sent at once. The client's own speed is the limit beyond that: nothing is read ahead for it.
const BATCH: usize = 256;
/// A comment is sent this often, so that a dead connection is noticed; other replicas' events are looked for as often.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often replies that are being written are shown at most.
const WRITING_EVERY: Duration = Duration::from_millis(150);

/// One stream looks for events this often at most: what is committed in between is read, and its listener's credential
/// looked at, once for all of it. The first event after a quiet time is sent at once.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// So many of them at once: each may be as long as a reply.
const WRITING_BATCH: usize = 32;

struct Listener {
    authority: Authority,
    live: Arc<Live>,
    /// Humans only: to a program, a marker in what it made an agent repeat would say that its guess is a value.
    writing: Option<watch::Receiver<u64>>,
    shown: u64,
    look_again: tokio::time::Instant,
    looked: Option<tokio::time::Instant>,
    turns: Arc<Turns>,
    presence: Presence,
    committed: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    after: i64,
    first: bool,
}

pub(crate) async fn stream(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["after"])?;
    let caller = call.caller()?;
    if !caller.has(Scope::EventsRead) {
        return Err(Refusal::because(Code::ScopeMissing, Scope::EventsRead.as_str()));
    }
    let authority = call.app.authority.clone();
    let resumed: Option<i64> = match call.header("last-event-id")? {
        Some(text) => {
            Some(text.parse().map_err(|_| Refusal::because(Code::InvalidRequest, "`Last-Event-ID` is a position"))?)
        }
        None => call.query_as("after")?,
    };
    let after = match resumed {
        Some(after) => after.max(0),
        None => authority.event_position().await?,
    };
    let presence = Presence::of(&call)?;
    let committed = authority.committed();
    let stopping = call.app.stopping.subscribe();
    let live = Arc::clone(&call.app.live);
    let writing = caller.is_operator().then(|| live.writing());
    let look_again = tokio::time::Instant::now();
    let listener = Listener {
        authority,
        live,
        writing,
        shown: 0,
        look_again,
        looked: None,
        turns: Arc::clone(&call.app.turns),
        presence,
        committed,
        stopping,
        after,
        first: true,
    };
    Ok(event_stream(stream::unfold(listener, next)))
}

impl Listener {
    /// Replies that have grown. They are no events: nothing keeps them, and they move no position.
    fn written(&mut self) -> Option<String> {
        let writing = self.writing.as_mut()?;
        if tokio::time::Instant::now() < self.look_again {
            return None;
        }
        writing.mark_unchanged();
        let (replies, shown, more) = self.live.written_after(self.shown, WRITING_BATCH);
        self.shown = shown;
        if more {
            writing.mark_changed();
        }
        if replies.is_empty() {
            return None;
        }
        self.look_again = tokio::time::Instant::now() + WRITING_EVERY;
        let show = |reply: SoFar| {
            let data = json!({"workspace_id": reply.workspace, "message_id": reply.message, "text": reply.text});
            format!("event: turn.progress\ndata: {data}\n\n")
        };
        Some(replies.into_iter().map(show).collect())
    }
}

/// Waits until a reply has grown and may be shown; for ever where none is.
async fn written(writing: &mut Option<watch::Receiver<u64>>, look_again: tokio::time::Instant) {
    let Some(writing) = writing else { return std::future::pending().await };
    if writing.changed().await.is_err() {
        return std::future::pending().await;
    }
    // Noticed, not seen: whoever looks now must still find it changed.
    writing.mark_changed();
    tokio::time::sleep_until(look_again).await;
}

async fn next(mut listener: Listener) -> Option<(Result<Bytes, Infallible>, Listener)> {
    if listener.first {
        listener.first = false;
        return Some((Ok(Bytes::from("retry: 2000\n: connected\n\n")), listener));
    }
    loop {
        if let Some(looked) = listener.looked {
            tokio::time::sleep_until(looked + LOOK_EVERY).await;
        }
        listener.looked = Some(tokio::time::Instant::now());
        listener.committed.mark_unchanged();
        let turns = Arc::clone(&listener.turns);
        // Where one look stands for so long the store does: the stream ends as well.
        let turn = tokio::time::timeout(HEARTBEAT, turns.take()).await.ok()?;
        // Refused or unreadable: the stream ends. The client comes back and is told why.
        let caller = listener.presence.caller().await.ok()?;
        let Seen { events, reached, gone } =
            listener.authority.events_after(&caller, listener.after, BATCH).await.ok()?;
        if gone {
            let position = listener.authority.event_position().await.ok()?;
            listener.after = position;
            let text = format!("id: {position}\nevent: reset\ndata: {{\"position\":{position}}}\n\n");
            return Some((Ok(Bytes::from(text)), listener));
        }
        let moved = reached > listener.after;
        listener.after = reached;
        if !events.is_empty() {
            let mut text = String::new();
            for event in events {
                text.push_str(&format!("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.event, event.payload));
            }
            return Some((Ok(Bytes::from(text)), listener));
        }
        drop(turn);
        if moved {
            continue;
        }
        if let Some(text) = listener.written() {
            return Some((Ok(Bytes::from(text)), listener));
        }
        tokio::select! {
            () = written(&mut listener.writing, listener.look_again) => {}
            changed = listener.committed.changed() => changed.ok()?,
            // The client comes back to whoever serves then.
            () = stops(&mut listener.stopping) => return None,
            () = tokio::time::sleep(HEARTBEAT) => return Some((Ok(Bytes::from(": \n\n")), listener)),
        }
    }
}
