//! PostgreSQL tells every server of every commit: a wake-up that carries a position and no data.
//!
//! What is lost with a connection is made up for by waking once when it is back; and whoever waits looks by the clock as
//! well. So a signal that does not come costs time and nothing else.

use std::{thread, time::Duration};

use tokio::sync::watch;

use super::{
    error::DbError,
    open::{Role, Server},
};

/// How often it is looked whether the connection lives and anybody still listens here.
const LOOK: Duration = Duration::from_millis(500);
/// First and longest pause before a lost connection is opened again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// Listens on a thread of its own, and moves `committed` to what is heard, until nobody else holds the channel.
///
/// Fails if no thread can be started; a server that cannot be reached is tried again for ever.
pub(super) fn start(server: &Server, committed: &watch::Sender<i64>) -> Result<(), DbError> {
    let (server, committed) = (server.clone(), committed.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| DbError::Unavailable(format!("no event loop: {error}")))?;
    let started = thread::Builder::new().name("db-listener".into()).spawn(move || {
        let mut pause = RETRY_FIRST;
        while !committed.is_closed() {
            if let Err(error) = runtime.block_on(listen(&server, &committed, &mut pause)) {
                tracing::warn!(%error, "commits of other servers cannot be heard; it is tried again");
            }
            thread::sleep(pause);
            pause = (pause * 2).min(RETRY_MOST);
        }
    });
    started.map(drop).map_err(|error| DbError::Unavailable(format!("cannot start the listening thread: {error}")))
}

/// Returns without an error when nobody waits for commits any more.
async fn listen(server: &Server, committed: &watch::Sender<i64>, pause: &mut Duration) -> Result<(), DbError> {
    let hearing = committed.clone();
    let (client, _driven) = server.connect_hearing(Role::Reader, move |payload| note(&hearing, payload)).await?;
    client.batch_execute("LISTEN portcullis_committed").await?;
    *pause = RETRY_FIRST;
    // Whatever was committed while nobody listened.
    committed.send_modify(|_| ());
    while !committed.is_closed() {
        tokio::time::sleep(LOOK).await;
        if client.is_closed() {
            return Err(DbError::Unavailable("the connection that hears of commits was lost".into()));
        }
    }
    Ok(())
}

fn note(committed: &watch::Sender<i64>, payload: &str) {
    match payload.parse::<i64>() {
        Ok(position) => {
            committed.send_if_modified(|known| {
                let newer = position > *known;
                *known = position.max(*known);
                newer
            });
        }
        // One that does not read wakes as well: it is only a signal.
        Err(_) => committed.send_modify(|_| ()),
    }
}
