//! The PostgreSQL half of [`super::Conn`]. The driver blocks and runs its own small event loop, so none of this may
//! run on a thread of the asynchronous runtime: the driver would panic there.

use std::{collections::HashMap, error::Error, sync::Arc};

use bytes::BytesMut;
use postgres::{
    Client, Statement,
    fallible_iterator::FallibleIterator,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};

use super::{
    conn::{CommitError, StatementKey},
    error::DbError,
    value::{Param, Row},
};

/// Prepared statements kept per connection; on reaching it all are forgotten, which only costs time.
const STATEMENTS_MAX: usize = 512;

pub(super) struct Pg {
    client: Client,
    known: HashMap<StatementKey, Known>,
}

#[derive(Clone)]
struct Known {
    statement: Statement,
    columns: Arc<[String]>,
}

impl Pg {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: HashMap::new() }
    }

    pub(super) fn execute(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, DbError> {
        let known = self.prepared(sql)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
        Ok(self.client.execute(&known.statement, &params)?)
    }

    pub(super) fn each(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        visit: &mut dyn FnMut(&mut Row) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        let known = self.prepared(sql)?;
        let mut row = Row::of(Arc::clone(&known.columns));
        let mut rows = self.client.query_raw(&known.statement, params)?;
        while let Some(found) = rows.next()? {
            for (i, slot) in row.cells() {
                slot.refill(found.try_get::<_, Param<'_>>(i)?);
            }
            visit(&mut row)?;
        }
        Ok(())
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        Ok(self.client.batch_execute(sql)?)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn commit(&mut self) -> Result<(), CommitError> {
        // COMMIT of a transaction in which a statement failed answers "ROLLBACK" and no error. SAVEPOINT in such a
        // transaction is an error, and one message with both stops there, so a lost commit cannot look like a success.
        self.client.batch_execute("SAVEPOINT closing; COMMIT").map_err(|error| {
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
        let statement = self.client.prepare(sql)?;
        let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let known = Known { statement, columns };
        self.known.insert(key, known.clone());
        Ok(known)
    }
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
