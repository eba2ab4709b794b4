//! PostgreSQL tells every server of every commit: a wake-up that carries a position and no data.
//!
//! What is lost with a connection is made up for by waking once when it is back; and whoever waits looks by the clock as
//! well. So a signal that does not come costs time and nothing else.

use std::{thread, time::Duration};

use postgres::{Client, fallible_iterator::FallibleIterator};
use tokio::sync::watch;

use super::{
    error::DbError,
    open::{Role, Server},
};

/// How long one wait for a signal is; then it is seen whether anybody still listens here.
const WAIT: Duration = Duration::from_millis(500);
/// First and longest pause before a lost connection is opened again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// Listens on a thread of its own, and moves `committed` to what is heard, until nobody else holds the channel.
///
/// Fails if no thread can be started; a server that cannot be reached is tried again for ever.
pub(super) fn start(server: &Server, committed: &watch::Sender<i64>) -> Result<(), DbError> {
    let (server, committed) = (server.clone(), committed.clone());
    let body = move || {
        let mut pause = RETRY_FIRST;
        while !committed.is_closed() {
            match listen(&server) {
                Ok(mut client) => {
                    pause = RETRY_FIRST;
                    // Whatever was committed while nobody listened.
                    committed.send_modify(|_| ());
                    if let Err(error) = follow(&mut client, &committed) {
                        tracing::warn!(%error, "the connection that hears of commits was lost; it is opened again");
                    }
                }
                Err(error) => tracing::warn!(%error, "commits of other servers cannot be heard; it is tried again"),
            }
            thread::sleep(pause);
            pause = (pause * 2).min(RETRY_MOST);
        }
    };
    let started = thread::Builder::new().name("db-listener".into()).spawn(body);
    started.map(drop).map_err(|error| DbError::Unavailable(format!("cannot start the listening thread: {error}")))
}

fn listen(server: &Server) -> Result<Client, DbError> {
    let mut client = server.connect(Role::Reader)?;
    client.batch_execute("LISTEN portcullis_committed")?;
    Ok(client)
}

/// Returns without an error when nobody waits for commits any more.
fn follow(client: &mut Client, committed: &watch::Sender<i64>) -> Result<(), DbError> {
    while !committed.is_closed() {
        while let Some(signal) = client.notifications().timeout_iter(WAIT).next()? {
            // One that does not read wakes as well: it is only a signal.
            match signal.payload().parse::<i64>() {
                Ok(position) => {
                    committed.send_if_modified(|known| {
                        let newer = position > *known;
                        *known = position.max(*known);
                        newer
                    });
                }
                Err(_) => committed.send_modify(|_| ()),
            }
        }
        if client.is_closed() {
            return Err(DbError::Unavailable("the server closed it".into()));
        }
    }
    Ok(())
}
