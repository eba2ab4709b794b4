//! The PostgreSQL half of [`super::Conn`]: statements in a pipeline.
//!
//! What nobody waits for is written to the connection and answered later; what somebody waits for brings all of that home.
//! A round trip costs more than most statements, so their number is what a write costs (`docs/numbers.md`). The connection
//! is driven by a small runtime of its own, on whichever thread asks, so none of this may run on a thread of the
//! asynchronous runtime: it would panic there.

use std::{
    collections::{HashMap, VecDeque},
    error::Error,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use futures_util::TryStreamExt;
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_postgres::{
    Client, Statement,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};

use super::{
    conn::{CommitError, StatementKey},
    error::DbError,
    open::{Role, Server},
    value::{Param, Row, Value},
};

/// Prepared statements kept per connection; on reaching it all are forgotten, which only costs time.
const STATEMENTS_MAX: usize = 512;
/// Statements on their way at the same time. More are waited for, so that neither side fills the other's buffers.
const SENT_MAX: usize = 128;
/// How long a farewell to the server may take.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, tokio_postgres::Error>> + Send>>;

pub(super) struct Pg {
    runtime: Runtime,
    /// Nothing only while this is being dropped.
    client: Option<Arc<Client>>,
    /// Ends when the connection does.
    connection: Option<JoinHandle<()>>,
    known: HashMap<StatementKey, Known>,
    /// Sent and not answered, in this order.
    sent: VecDeque<Answer<u64>>,
    /// Asked and not wanted yet, in this order, after everything that was sent.
    asked: VecDeque<Asked>,
    /// Whether anything was sent since an answer was last waited for.
    fresh: bool,
    /// Round trips: waits for something that was sent since the one before.
    waits: u64,
    /// Questions that had been asked ahead.
    answered: u64,
}

struct Asked {
    key: StatementKey,
    params: Vec<Value>,
    answer: Answer<Vec<tokio_postgres::Row>>,
}

#[derive(Clone)]
struct Known {
    statement: Statement,
    columns: Arc<[String]>,
}

impl Pg {
    pub(super) fn open(server: &Server, role: Role) -> Result<Self, DbError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| DbError::Unavailable(format!("no event loop: {error}")))?;
        let (client, connection) = runtime.block_on(server.connect(role))?;
        Ok(Self {
            runtime,
            client: Some(Arc::new(client)),
            connection: Some(connection),
            known: HashMap::new(),
            sent: VecDeque::new(),
            asked: VecDeque::new(),
            fresh: false,
            waits: 0,
            answered: 0,
        })
    }

    fn client(&self) -> Result<Arc<Client>, DbError> {
        self.client.as_ref().map(Arc::clone).ok_or_else(|| DbError::Unavailable("PostgreSQL: closed".to_owned()))
    }

    pub(super) fn execute(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, DbError> {
        let (client, known) = (self.client()?, self.prepared(sql)?);
        Ok(self.ask(async { client.execute_raw(&known.statement, params).await })?)
    }

    pub(super) fn each(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        visit: &mut dyn FnMut(&mut Row) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        if let Some(rows) = self.answered(sql, params)? {
            let known = self.prepared(sql)?;
            let mut row = Row::of(Arc::clone(&known.columns));
            return rows.iter().try_for_each(|found| {
                fill(&mut row, found)?;
                visit(&mut row)
            });
        }
        let (client, known) = (self.client()?, self.prepared(sql)?);
        let mut row = Row::of(Arc::clone(&known.columns));
        // Pinned: it is not to be moved once it is read from.
        let mut rows = Box::pin(self.ask(async { client.query_raw(&known.statement, params).await })?);
        while let Some(found) = self.runtime.block_on(rows.try_next())? {
            fill(&mut row, &found)?;
            visit(&mut row)?;
        }
        Ok(())
    }

    /// Runs text of one or more statements and waits for it.
    pub(super) fn script(&mut self, sql: &str) -> Result<(), DbError> {
        let client = self.client()?;
        Ok(self.ask(async { client.batch_execute(sql).await })?)
    }

    /// Sends a statement and does not wait for it.
    pub(super) fn send(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<(), DbError> {
        let (client, known) = (self.client()?, self.prepared(sql)?);
        let params: Vec<Value> = params.iter().map(|param| param.to_value()).collect();
        self.begin(Box::pin(
            async move { client.execute_raw(&known.statement, params.iter().map(Value::as_param)).await },
        ))
    }

    /// Sends words of the transaction and does not wait for them.
    pub(super) fn post(&mut self, sql: &'static str) -> Result<(), DbError> {
        let client = self.client()?;
        self.begin(Box::pin(async move { client.batch_execute(sql).await.map(|()| 0) }))
    }

    /// Asks for rows that [`Pg::each`] will want.
    pub(super) fn ahead(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<(), DbError> {
        let (client, known) = (self.client()?, self.prepared(sql)?);
        let params: Vec<Value> = params.iter().map(|param| param.to_value()).collect();
        let given = params.clone();
        let mut answer: Answer<Vec<tokio_postgres::Row>> = Box::pin(async move {
            let rows = client.query_raw(&known.statement, given.iter().map(Value::as_param)).await?;
            rows.try_collect().await
        });
        match self.first_poll(&mut answer) {
            Poll::Pending => {
                self.fresh = true;
                self.asked.push_back(Asked { key: StatementKey::of(sql), params, answer });
            }
            // It could not even be sent; whoever wants the rows asks again and is told.
            Poll::Ready(_) => {}
        }
        Ok(())
    }

    /// The rows that were asked for with this statement and these parameters, if they were.
    fn answered(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Option<Vec<tokio_postgres::Row>>, DbError> {
        let key = StatementKey::of(sql);
        let same =
            |asked: &Asked| asked.key == key && asked.params.iter().map(Value::as_param).eq(params.iter().copied());
        match self.asked.iter().position(same).and_then(|at| self.asked.remove(at)) {
            Some(Asked { answer, .. }) => {
                self.answered += 1;
                Ok(Some(self.wait(answer)?))
            }
            None => Ok(None),
        }
    }

    /// What was asked and not wanted answers for nothing any more. Fails if one of them did, with which the transaction
    /// has failed.
    pub(super) fn forget_ahead(&mut self) -> Result<(), DbError> {
        let mut outcome = Ok(());
        while let Some(Asked { answer, .. }) = self.asked.pop_front() {
            outcome = outcome.and(self.wait(answer).map(drop));
        }
        Ok(outcome?)
    }

    /// Waits for everything that was sent.
    pub(super) fn settle(&mut self) -> Result<(), DbError> {
        if self.sent.is_empty() {
            return Ok(());
        }
        Ok(self.wait(async { Ok(()) })?)
    }

    /// What is on its way is answered to nobody: whoever says this undoes it.
    pub(super) fn abandon(&mut self) {
        self.sent.clear();
        self.asked.clear();
    }

    /// Writes to the connection what was sent, without waiting for an answer.
    pub(super) fn flush(&mut self) {
        self.runtime.block_on(tokio::task::yield_now());
    }

    /// Whether the server has not hung up, as far as what has arrived here tells.
    pub(super) fn is_alive(&self) -> bool {
        // One turn to look at the socket, one for the connection to read from it, one to be told.
        self.runtime.block_on(async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
        !self.is_closed()
    }

    /// Round trips, and questions that were answered without one of their own.
    pub(super) fn traffic(&self) -> (u64, u64) {
        (self.waits, self.answered)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.as_ref().is_none_or(|client| client.is_closed())
    }

    pub(super) fn commit(&mut self) -> Result<(), CommitError> {
        let client = self.client().map_err(CommitError::Failed)?;
        // COMMIT of a transaction in which a statement failed answers "ROLLBACK" and no error. SAVEPOINT in such a
        // transaction is an error, and one message with both stops there, so a lost commit cannot look like a success.
        self.ask(async { client.batch_execute("SAVEPOINT closing; COMMIT").await }).map_err(|error| {
            let answered = error.code().is_some_and(|code| !matches!(code.code().get(..2), Some("08" | "57")));
            if answered { CommitError::Failed(error.into()) } else { CommitError::Unknown(error.into()) }
        })
    }

    fn prepared(&mut self, sql: &'static str) -> Result<Known, DbError> {
        let key = StatementKey::of(sql);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        if self.known.len() >= STATEMENTS_MAX {
            self.known.clear();
        }
        let client = self.client()?;
        let statement = self.ask(async { client.prepare(sql).await })?;
        let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let known = Known { statement, columns };
        self.known.insert(key, known.clone());
        Ok(known)
    }

    /// Sends something, unless it cannot even be put into words.
    fn begin(&mut self, mut answer: Answer<u64>) -> Result<(), DbError> {
        if self.sent.len() >= SENT_MAX {
            self.settle()?;
        }
        match self.first_poll(&mut answer) {
            Poll::Ready(done) => Ok(done.map(drop)?),
            Poll::Pending => {
                self.fresh = true;
                self.sent.push_back(answer);
                Ok(())
            }
        }
    }

    /// The first poll is what sends. Inside the runtime, where waking the connection is only a note to oneself.
    fn first_poll<T>(&self, answer: &mut Answer<T>) -> Poll<Result<T, tokio_postgres::Error>> {
        self.runtime.block_on(poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))))
    }

    /// Sends something and waits for its answer.
    fn ask<T>(
        &mut self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, tokio_postgres::Error> {
        self.fresh = true;
        self.wait(answer)
    }

    /// Waits for one answer and for everything sent before. The first error counts: after it the server refuses the rest
    /// only because of it.
    fn wait<T>(
        &mut self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, tokio_postgres::Error> {
        self.waits += u64::from(std::mem::take(&mut self.fresh));
        let sent = &mut self.sent;
        self.runtime.block_on(async {
            let outcome = answer.await;
            let mut first = Ok(());
            while let Some(earlier) = sent.pop_front() {
                let earlier = earlier.await;
                first = first.and(earlier.map(drop));
            }
            first.and(outcome)
        })
    }
}

impl Drop for Pg {
    fn drop(&mut self) {
        self.abandon();
        // The last handle: the connection says farewell to the server and ends.
        self.client = None;
        let Some(connection) = self.connection.take() else { return };
        // On a thread of another runtime nothing can be waited for; the socket is closed all the same.
        if tokio::runtime::Handle::try_current().is_err() {
            // A server that does not listen is not waited for.
            let _ = self.runtime.block_on(async { tokio::time::timeout(FAREWELL_MAX, connection).await });
        }
    }
}

fn fill(row: &mut Row, found: &tokio_postgres::Row) -> Result<(), DbError> {
    for (i, slot) in row.cells() {
        slot.refill(found.try_get::<_, Param<'_>>(i)?);
    }
    Ok(())
}

/// Text types, integer types and bytes. Everything else (fractions, timestamps, JSON) is not used, because it does not
/// mean the same on both engines.
fn is_portable(ty: &Type) -> bool {
    is_text(ty) || matches!(*ty, Type::INT8 | Type::INT4 | Type::INT2 | Type::BOOL | Type::BYTEA)
}

fn is_text(ty: &Type) -> bool {
    matches!(*ty, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN)
}

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match *self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(int) if *ty == Type::INT8 => int.to_sql(ty, out),
            Self::Int(int) if *ty == Type::INT4 => i32::try_from(int)?.to_sql(ty, out),
            Self::Int(int) if *ty == Type::INT2 => i16::try_from(int)?.to_sql(ty, out),
            Self::Int(int @ (0 | 1)) if *ty == Type::BOOL => (int == 1).to_sql(ty, out),
            Self::Text(text) if is_text(ty) => text.to_sql(ty, out),
            Self::Bytes(bytes) if *ty == Type::BYTEA => bytes.to_sql(ty, out),
            _ => Err(format!("the statement wants `{ty}`").into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        // NULL goes everywhere; the value itself is matched against the type in `to_sql`.
        is_portable(ty)
    }

    to_sql_checked!();
}

// `Debug` is a supertrait of `ToSql`. The type is shown, never the value.
impl std::fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Int(_) => "Int(…)",
            Self::Text(_) => "Text(…)",
            Self::Bytes(_) => "Bytes(…)",
        })
    }
}

impl<'a> FromSql<'a> for Param<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Self::Int(bool::from_sql(ty, raw)?.into()),
            Type::BYTEA => Self::Bytes(raw),
            _ => Self::Text(<&str>::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        is_portable(ty)
    }
}
