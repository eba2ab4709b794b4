//! Challenges that wait for a passkey.

use crate::{
    db::{Conn, DbError},
    params,
};

/// Keeps one, and of its kind no more than the newest `most`.
pub(crate) fn insert(
    conn: &mut Conn,
    kind: &str,
    challenge: &[u8],
    purpose: &str,
    party: &str,
    until: i64,
    most: i64,
) -> Result<(), DbError> {
    conn.execute(
        "/* challenge_insert */ INSERT INTO challenges (kind, seq, challenge, purpose, party, until) \
         VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM challenges WHERE kind = $1), $2, $3, $4, $5)",
        params![kind, challenge, purpose, party, until],
    )?;
    conn.execute(
        "/* challenge_bound */ DELETE FROM challenges WHERE kind = $1 AND seq <= (SELECT MAX(seq) FROM challenges WHERE kind = $1) - $2",
        params![kind, most],
    )?;
    Ok(())
}

/// Takes one out: its purpose, its page and until when it was good.
pub(crate) fn take(conn: &mut Conn, challenge: &[u8]) -> Result<Option<(String, String, i64)>, DbError> {
    let row = conn.query_opt(
        "/* challenge_find */ SELECT purpose, party, until FROM challenges WHERE challenge = $1",
        params![challenge],
    )?;
    let Some(row) = row else { return Ok(None) };
    conn.execute("/* challenge_take */ DELETE FROM challenges WHERE challenge = $1", params![challenge])?;
    Ok(Some((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.int(2)?)))
}

/// Drops those that are too old.
pub(crate) fn prune(conn: &mut Conn, now: i64) -> Result<(), DbError> {
    conn.execute("/* challenge_prune */ DELETE FROM challenges WHERE until <= $1", params![now])?;
    Ok(())
}
