//! Facts about this deployment.

use crate::{
    db::{Conn, DbError},
    params,
};

pub(crate) fn get(conn: &mut Conn, name: &str) -> Result<Option<String>, DbError> {
    let row = conn.query_opt("/* meta_get */ SELECT value FROM meta WHERE name = $1", params![name])?;
    row.map(|row| row.text(0).map(str::to_owned)).transpose()
}

pub(crate) fn put(conn: &mut Conn, name: &str, value: &str) -> Result<(), DbError> {
    conn.execute("/* meta_put */ INSERT INTO meta (name, value) VALUES ($1, $2)", params![name, value])?;
    Ok(())
}
