//! The newest live events, in memory once for all who listen: what a thousand streams want to know is read once.
//!
//! A look is answered from here only if no commit was signalled since the store was read, and that was a moment ago. So a
//! signal that does not come costs as much time here as it costs whoever waits for it, and nothing else.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_kernel::scope::Scope;
use tokio::sync::watch;

use crate::{
    authority::Authority,
    caller::Caller,
    db::{Conn, DbError},
    refusal::Refusal,
    tables::events::{self, Live},
    views,
};

/// Events in memory at most: some megabytes, and only where somebody listens.
const EVENTS_MAX: i64 = 2_048;
/// What was read longer ago is read again, signal or not; and what could not be read is not tried again sooner.
const AGE_MAX: Duration = Duration::from_secs(1);

/// The events after `from`, up to `last`, which was the newest when the store was read.
pub(crate) struct Tail {
    committed: watch::Receiver<i64>,
    from: i64,
    last: i64,
    events: VecDeque<Arc<Live>>,
    read: Option<Instant>,
    failed: Option<Instant>,
}

impl Tail {
    pub(crate) fn new(committed: watch::Receiver<i64>) -> Self {
        Self { committed, from: 0, last: 0, events: VecDeque::new(), read: None, failed: None }
    }

    fn is_current(&self) -> bool {
        self.read.is_some_and(|at| at.elapsed() < AGE_MAX) && !self.committed.has_changed().unwrap_or(true)
    }

    /// Before the store is read: where what is here ends. Until that is read nothing here is current, also if whoever reads
    /// goes away meanwhile; and what is committed from here on is read by the next look.
    fn begin(&mut self) -> i64 {
        self.read = None;
        self.committed.mark_unchanged();
        self.last
    }

    fn take(&mut self, news: News) {
        if self.last != news.from {
            self.events.clear();
            self.from = news.from;
        }
        self.events.extend(news.events.into_iter().map(Arc::new));
        self.last = news.last;
        while self.events.len() as i64 > EVENTS_MAX {
            if let Some(gone) = self.events.pop_front() {
                self.from = gone.id;
            }
        }
        self.read = Some(Instant::now());
    }

    /// Up to `limit` events after a position, if it is within what is here.
    fn after(&self, after: i64, limit: usize) -> Option<Vec<Arc<Live>>> {
        if after < self.from || after > self.last {
            return None;
        }
        let first = self.events.partition_point(|event| event.id <= after);
        Some(self.events.iter().skip(first).take(limit).map(Arc::clone).collect())
    }
}

/// What the store had after `from`.
struct News {
    from: i64,
    last: i64,
    events: Vec<Live>,
}

fn news(conn: &mut Conn, reach: i64) -> Result<News, DbError> {
    let (first, last) = events::range(conn)?;
    let near = reach >= first - 1 && (0..=EVENTS_MAX).contains(&(last - reach));
    // What was dropped before the first is gone, for whoever asks.
    let from = if near { reach } else { (last - EVENTS_MAX).max(first - 1).max(0) };
    Ok(News { from, last, events: events::after(conn, from, EVENTS_MAX)? })
}

/// Events within sight, in order.
#[derive(Debug)]
pub struct Seen {
    /// The events.
    pub events: Vec<Arc<Live>>,
    /// The position reached, by what is not within sight as well.
    pub reached: i64,
    /// The position asked for is gone, or ahead of the log.
    pub gone: bool,
}

impl Authority {
    /// Live events after a position that the caller may see, at most `limit` looked at.
    pub async fn events_after(&self, caller: &Caller, after: i64, limit: usize) -> Result<Seen, Refusal> {
        views::need(caller, Scope::EventsRead)?;
        let (mut events, gone) = self.tail_after(after, limit).await?;
        let reached = events.last().map_or(after, |event| event.id);
        if let Some(home) = caller.confined_to().map(|home| home.to_string()) {
            let own = (caller.principal().kind().to_owned(), caller.principal().id());
            events.retain(|event| event.workspace_id.as_ref() == Some(&home) || event.subject == own);
        }
        Ok(Seen { events, reached, gone })
    }

    async fn tail_after(&self, after: i64, limit: usize) -> Result<(Vec<Arc<Live>>, bool), Refusal> {
        {
            let mut tail = self.tail().lock().await;
            if !tail.is_current() {
                if tail.failed.is_some_and(|at| at.elapsed() < AGE_MAX) {
                    return Err(DbError::Unavailable("the live events could not be read a moment ago".into()).into());
                }
                let reach = tail.begin();
                match self.read(move |conn, _| Ok(news(conn, reach)?)).await {
                    Ok(news) => {
                        tail.take(news);
                        tail.failed = None;
                    }
                    Err(refusal) => {
                        tail.failed = Some(Instant::now());
                        return Err(refusal);
                    }
                }
            }
            if let Some(events) = tail.after(after, limit) {
                return Ok((events, false));
            }
        }
        // Whoever is far behind reads for itself.
        self.read(move |conn, _| {
            let (first, last) = events::range(conn)?;
            let gone = after > last || (after > 0 && after + 1 < first);
            let all = events::after(conn, after, i64::try_from(limit).unwrap_or(i64::MAX))?;
            Ok((all.into_iter().map(Arc::new).collect(), gone))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(id: i64) -> Live {
        let text = String::new;
        Live { id, event: text(), workspace_id: None, subject: (text(), text()), payload: text() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Reads of a log that grows by so much in between, each from where the one before ended if that is near.
        #[test]
        fn what_is_answered_from_memory_is_what_is_stored(grown in prop::collection::vec(0_i64..3_000, 1..12), asked in 0_i64..20_000) {
            let (_sender, committed) = watch::channel(0);
            let (mut tail, mut last) = (Tail::new(committed), 0);
            for more in grown {
                last += more;
                let reach = tail.begin();
                prop_assert!(!tail.is_current(), "whoever reads may go away before it is read");
                let from = if last - reach <= EVENTS_MAX { reach } else { last - EVENTS_MAX };
                tail.take(News { from, last, events: (from + 1..=last).map(event).collect() });
                prop_assert!(tail.is_current());
                let after = asked % (last + 2);
                let found = tail.after(after, 10);
                prop_assert_eq!(found.is_none(), after > last || after < last - EVENTS_MAX);
                let ids: Vec<i64> = found.iter().flatten().map(|event| event.id).collect();
                let stored: Vec<i64> = if found.is_some() { (after + 1..=last).take(10).collect() } else { Vec::new() };
                prop_assert_eq!(ids, stored);
            }
        }
    }
}
