//! What is sent without waiting: its errors reach whoever is responsible, and nothing after them has any effect.

use std::sync::Arc;

use super::{
    super::{Batch, Conn, DbError, Writer, WriterConfig, WriterFault, job::Tx, testkit::databases},
    reader::kill_sessions,
    writer::{SCHEMA, Work, append, in_one_batch, notes, start},
};

const AGAIN: &str = "INSERT INTO entry (seq, note) VALUES ($1, $2)";

fn send(conn: &mut Conn, seq: i64, note: &str) -> Result<(), DbError> {
    conn.send(AGAIN, &[seq.into(), note.into()])
}

#[test]
fn the_first_error_of_what_was_sent_is_told_once_and_never_quotes_a_value() {
    for db in databases() {
        db.schema(SCHEMA);
        db.with(|conn| {
            conn.begin_write()?;
            let start = conn.savepoint()?;
            send(conn, 1, "first")?;
            // SQLite says at once what PostgreSQL says later.
            let failed = send(conn, 1, "canary").and_then(|()| send(conn, 2, "behind")).and_then(|()| conn.settle());
            assert!(matches!(failed, Err(DbError::Unique { .. })), "{}: {failed:?}", db.engine);
            assert!(!format!("{failed:?} {}", failed.as_ref().unwrap_err()).contains("canary"));
            conn.rollback_to(start)?;
            assert_eq!(conn.settle(), Ok(()), "told once");
            send(conn, 3, "after")?;
            conn.release(start)?;
            conn.commit().unwrap();
            Ok(())
        });
        assert_eq!(notes(&db), ["after"], "{}", db.engine);
    }
}

#[test]
fn an_error_of_what_was_sent_is_the_error_of_the_next_question() {
    for db in databases() {
        db.schema(SCHEMA);
        db.with(|conn| {
            conn.begin_write()?;
            let start = conn.savepoint()?;
            let orphan = "INSERT INTO entry (seq, note, parent) VALUES ($1, NULL, NULL)";
            let asked = conn.send(orphan, &[1_i64.into()]).and_then(|()| conn.query_opt("SELECT 7", &[]).map(drop));
            assert_eq!(asked, Err(DbError::Check), "{}", db.engine);
            conn.rollback_to(start)?;
            assert_eq!(conn.query_opt("SELECT 7", &[])?.unwrap().int(0)?, 7);
            // What cannot even be put into words is told by the one who was asked to send it.
            assert!(conn.send("UPDATE head SET value = $1", &["seven".into()]).is_err(), "{}", db.engine);
            Ok(())
        });
    }
}

#[test]
fn more_than_the_buffers_hold_is_sent_and_arrives() {
    for db in databases() {
        db.schema(SCHEMA);
        let large = "x".repeat(20_000);
        db.with(|conn| {
            conn.begin_write()?;
            for seq in 1..=400 {
                send(conn, seq, &large)?;
            }
            conn.commit().unwrap();
            Ok(())
        });
        assert_eq!(db.integer("SELECT COUNT(*) FROM entry"), 400, "{}", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_did_not_wait_is_not_told_success_and_its_neighbours_are_kept() {
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig::default());
        let jobs: [Work; 3] = [
            |tx| append(tx, "before"),
            |tx| send(tx.conn, 77, "lost").and_then(|()| send(tx.conn, 1, "again")).map(|()| 0),
            |tx| append(tx, "behind"),
        ];
        let answers: Vec<bool> = in_one_batch(&writer, jobs).await.iter().map(Result::is_ok).collect();
        assert_eq!(answers, [true, false, true], "{}", db.engine);
        assert_eq!(notes(&db), ["before", "behind"], "{}", db.engine);
    }
}

/// Sends something that fails and leaves it to the commit to find out.
struct Hasty;

impl Batch for Hasty {
    type State = i64;

    fn begin(&mut self, _: &mut Conn) -> Result<i64, DbError> {
        Ok(0)
    }

    fn before_commit(&mut self, conn: &mut Conn, _: &mut i64, _: usize) -> Result<(), DbError> {
        conn.send("UPDATE head SET value = NULL", &[])
    }

    fn after_commit(&mut self, _: i64) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_the_commit_and_failed_is_no_success() {
    for db in databases() {
        db.schema(SCHEMA);
        let writer = Writer::start(&db.target, Hasty, WriterConfig::default()).unwrap();
        let answer: Result<i64, WriterFault> = writer.submit(|tx| Ok(append(tx, "x")?)).await;
        // Known to be refused, not merely unknown.
        assert!(matches!(answer, Err(WriterFault::Unavailable(_))), "{}: {answer:?}", db.engine);
        assert!(notes(&db).is_empty(), "{}", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_under_what_was_sent_fails_the_batch_and_is_replaced() {
    for db in databases() {
        if db.url.is_none() {
            continue;
        }
        let (writer, _) = start(&db, WriterConfig::default());
        let (killed, wait_killed) = std::sync::mpsc::sync_channel::<()>(1);
        let (began, running) = std::sync::mpsc::sync_channel::<()>(1);
        let shared = Arc::clone(&writer);
        let job = move |tx: &mut Tx<'_, i64>| {
            began.send(()).unwrap();
            wait_killed.recv().unwrap();
            send(tx.conn, 1, "lost")?;
            Ok::<i64, DbError>(0)
        };
        let task = tokio::spawn(async move { shared.submit(job).await });
        tokio::task::block_in_place(|| running.recv().unwrap());
        kill_sessions(&db);
        killed.send(()).unwrap();
        assert!(task.await.unwrap().is_err());
        assert_eq!(writer.submit(|tx| append(tx, "after")).await, Ok::<_, DbError>(1));
        assert_eq!(notes(&db), ["after"]);
    }
}

static COUNT: &str = "SELECT COUNT(*) FROM entry WHERE seq < $1";

fn count(conn: &mut Conn) -> Result<i64, DbError> {
    conn.query_opt(COUNT, &[100_i64.into()])?.map_or(Ok(-1), |row| row.int(0))
}

#[test]
fn an_answer_asked_ahead_is_given_once_and_never_for_a_state_that_is_gone() {
    for db in databases() {
        db.schema(SCHEMA);
        db.with(|conn| {
            conn.begin_write()?;
            let start = conn.savepoint()?;
            conn.ahead(COUNT, &[100_i64.into()])?;
            assert_eq!((count(conn)?, count(conn)?), (0, 0), "{}", db.engine);
            conn.ahead(COUNT, &[100_i64.into()])?;
            send(conn, 1, "one")?;
            assert_eq!(count(conn)?, 1, "{}: asked before, answered as it is", db.engine);
            conn.ahead(COUNT, &[100_i64.into()])?;
            conn.query("INSERT INTO entry (seq, note) VALUES (2, 'two') RETURNING seq", &[])?;
            assert_eq!(count(conn)?, 2, "{}: a question may change something", db.engine);
            conn.release(start)?;
            conn.ahead(COUNT, &[100_i64.into()])?;
            conn.commit().unwrap();
            db.run("DELETE FROM entry");
            conn.begin_write()?;
            assert_eq!(count(conn)?, 0, "{}: another transaction", db.engine);
            Ok(())
        });
    }
}

#[test]
fn a_question_ahead_that_fails_and_that_nobody_wanted_spoils_nothing() {
    for db in databases() {
        db.schema(SCHEMA);
        db.with(|conn| {
            conn.begin_write()?;
            let start = conn.savepoint()?;
            let fails = "SELECT 1 / (value - value) FROM head WHERE id < $1";
            conn.query("SELECT value FROM head", &[])?;
            conn.ahead(COUNT, &[100_i64.into()])?;
            conn.ahead("SELECT seq FROM no_such_table", &[])?;
            assert_eq!(count(conn)?, 0, "{}: the one before is answered", db.engine);
            conn.ahead(fails, &[9_i64.into()])?;
            send(conn, 1, "kept")?;
            conn.release(start)?;
            if db.url.is_some() {
                // Whoever does want it is told.
                let start = conn.savepoint()?;
                conn.ahead(fails, &[9_i64.into()])?;
                assert!(conn.query(fails, &[9_i64.into()]).is_err());
                conn.rollback_to(start)?;
                conn.release(start)?;
            }
            conn.commit().unwrap();
            Ok(())
        });
        assert_eq!(notes(&db), ["kept"], "{}", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_leaves_no_transaction_open_although_it_does_not_wait_for_its_end() {
    for db in databases() {
        if db.url.is_none() {
            continue;
        }
        let readers = super::super::Readers::open(&db.target, super::super::ReadersConfig::default()).unwrap();
        assert_eq!(readers.read(|conn| conn.query("SELECT 7", &[]).map(|rows| rows.len())).await, Ok(1));
        let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' \
                    AND pid <> pg_backend_pid()";
        // The words are on their way when the answer is here; the server needs a moment to read them.
        while tokio::task::block_in_place(|| db.integer(open)) > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_snapshot_costs_the_round_trips_of_its_questions() {
    for db in databases() {
        db.with(|conn| {
            let ask = |conn: &mut Conn| conn.query("SELECT 7", &[]).map(drop);
            ask(conn)?;
            let before = conn.traffic().waits;
            conn.begin_snapshot()?;
            ask(conn)?;
            conn.end_snapshot();
            assert_eq!(conn.traffic().waits - before, u64::from(db.url.is_some()), "{}", db.engine);
            Ok(())
        });
    }
}
