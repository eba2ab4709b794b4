//! Live events: one authenticated stream over the durable event log, resumable by position.
//!
//! `id:` is the position. `Last-Event-ID` or `?after=` resumes; without either the stream begins now. When the position
//! is gone, or ahead of the log, a `reset` tells the client to load its state anew. Who listens is looked at again with
//! every batch: a revoked session ends its stream.

use std::{convert::Infallible, time::Duration};

use axum::{body::Bytes, response::Response};
use futures_util::stream;
use portcullis_authority::{Authority, Refusal};
use portcullis_kernel::{refusal::Code, scope::Scope};
use tokio::sync::watch;

use crate::{
    app::stops,
    call::{Call, event_stream},
    presence::Presence,
};

/// Events sent at once. The client's own speed is the limit beyond that: nothing is read ahead for it.
const BATCH: i64 = 256;
/// A comment is sent this often, so that a dead connection is noticed; other replicas' events are looked for as often.
const HEARTBEAT: Duration = Duration::from_secs(10);

struct Listener {
    authority: Authority,
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
    let listener = Listener { authority, presence, committed, stopping, after, first: true };
    Ok(event_stream(stream::unfold(listener, next)))
}

async fn next(mut listener: Listener) -> Option<(Result<Bytes, Infallible>, Listener)> {
    if listener.first {
        listener.first = false;
        return Some((Ok(Bytes::from("retry: 2000\n: connected\n\n")), listener));
    }
    loop {
        listener.committed.mark_unchanged();
        // Refused or unreadable: the stream ends. The client comes back and is told why.
        let caller = listener.presence.caller().await.ok()?;
        let (events, reached, gone) = listener.authority.events_after(&caller, listener.after, BATCH).await.ok()?;
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
        if moved {
            continue;
        }
        tokio::select! {
            changed = listener.committed.changed() => changed.ok()?,
            // The client comes back to whoever serves then.
            () = stops(&mut listener.stopping) => return None,
            () = tokio::time::sleep(HEARTBEAT) => return Some((Ok(Bytes::from(": \n\n")), listener)),
        }
    }
}
