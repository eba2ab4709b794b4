//! What the writer answers when the database fails under it.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use super::{
    super::{Batch, Conn, DbError, Writer, WriterConfig, WriterFault, job::Tx, testkit::databases},
    reader::kill_sessions,
    writer::{SCHEMA, Work, append, hold, in_one_batch, notes, start, until_queued},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_hides_a_failed_statement_is_not_told_success_without_its_writes() {
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig::default());
        let answer: Result<i64, DbError> = writer
            .submit(|tx| {
                append(tx, "before the error")?;
                let _ = tx.conn.execute("INSERT INTO entry (seq, note) VALUES (1, 'again')", &[]);
                Ok(*tx.state)
            })
            .await;
        // SQLite undoes the one statement, PostgreSQL wants the savepoint undone. Either way the answer is the truth.
        assert_eq!(answer.is_ok(), !notes(&db).is_empty(), "{}", db.engine);
        assert!(writer.submit(|tx| append(tx, "next")).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_commit_fails_nobody_is_told_success() {
    for db in databases() {
        let (writer, chain) = start(&db, WriterConfig::default());
        let (go_on, held) = hold(&writer).await;
        let orphan = {
            let writer = Arc::clone(&writer);
            // The foreign key is checked only at COMMIT.
            tokio::spawn(async move {
                let job = |tx: &mut Tx<'_, i64>| {
                    *tx.state += 1;
                    let sql = "INSERT INTO entry (seq, note, parent) VALUES ($1, 'orphan', 404)";
                    tx.conn.execute(sql, &[(*tx.state).into()]).map_err(WriterFault::from)
                };
                writer.submit(job).await
            })
        };
        let neighbour = {
            let writer = Arc::clone(&writer);
            tokio::spawn(async move { writer.submit(|tx| append(tx, "neighbour")).await })
        };
        until_queued(&writer, 2).await;
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        assert!(matches!(orphan.await.unwrap(), Err(WriterFault::Unavailable(_))), "{}", db.engine);
        assert!(matches!(neighbour.await.unwrap(), Err(DbError::Unavailable(_))), "{}", db.engine);
        assert!(notes(&db).is_empty());
        let stats = writer.stats();
        assert_eq!((stats.failed_commits, stats.last_commit_failed), (1, true));
        assert_eq!(chain.committed.load(SeqCst), 0);
        assert_eq!(writer.submit(|tx| append(tx, "after")).await, Ok::<_, DbError>(1), "{}", db.engine);
        assert!(!writer.stats().last_commit_failed);
        assert!(writer.stats().doubted, "a small write that went well proves nothing");
        writer.trust();
        assert!(!writer.stats().doubted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_fails_its_batch_and_is_replaced() {
    for db in databases() {
        if db.url.is_none() {
            continue;
        }
        let (writer, _) = start(&db, WriterConfig::default());
        assert_eq!(writer.submit(|tx| append(tx, "before")).await, Ok::<_, DbError>(1));
        kill_sessions(&db);
        assert_eq!(writer.submit(|tx| append(tx, "found dead")).await, Ok::<_, DbError>(2));
        let dies: Result<i64, DbError> = writer
            .submit(|tx| {
                append(tx, "lost")?;
                tx.conn.query("SELECT pg_terminate_backend(pg_backend_pid())", &[])?;
                Ok(0)
            })
            .await;
        assert!(dies.is_err(), "{dies:?}");
        assert_eq!(writer.submit(|tx| append(tx, "after")).await, Ok::<_, DbError>(3));
        assert_eq!(notes(&db), ["before", "found dead", "after"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_the_transaction_loses_its_whole_batch() {
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig::default());
        let jobs: [Work; 3] = [
            |tx| append(tx, "before"),
            // As SQLite does by itself when the disk is full.
            |tx| tx.conn.batch("ROLLBACK").map(|()| 0),
            |tx| append(tx, "behind"),
        ];
        for answer in in_one_batch(&writer, jobs).await {
            assert!(matches!(answer, Err(DbError::Unavailable(_))), "{}", db.engine);
        }
        assert!(notes(&db).is_empty(), "{}", db.engine);
        assert_eq!(writer.submit(|tx| append(tx, "after")).await, Ok::<_, DbError>(1), "{}", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_leaves_nothing() {
    for db in databases() {
        if db.url.is_some() {
            continue;
        }
        let (writer, _) = start(&db, WriterConfig::default());
        let limit = |tx: &mut Tx<'_, i64>| tx.conn.query("PRAGMA max_page_count = 40", &[]).map(drop);
        writer.submit(limit).await.unwrap();
        let large: Result<(), DbError> =
            writer.submit(|tx| (0..100).try_for_each(|_| append(tx, &"x".repeat(4000)).map(drop))).await;
        assert!(matches!(large, Err(DbError::Unavailable(_))), "{large:?}");
        assert!(notes(&db).is_empty());
        assert_eq!(writer.submit(|tx| append(tx, "small")).await, Ok::<_, DbError>(1));
        assert_eq!(notes(&db), ["small"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_could_not_do_is_remembered_although_the_transaction_went_well() {
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig::default());
        assert_eq!(writer.submit(|tx| append(tx, "before")).await, Ok::<_, DbError>(1));
        let twice: Result<(), DbError> =
            writer.submit(|tx| tx.conn.query("INSERT INTO entry (seq, note) VALUES (1, 'x')", &[]).map(drop)).await;
        assert!(matches!(twice, Err(DbError::Unique { .. })), "{twice:?}");
        assert!(!writer.stats().doubted, "{}: what a rule forbids the engine can do", db.engine);
        // SQLite without room gives up the whole transaction.
        if db.url.is_none() {
            continue;
        }
        let jobs: [Work; 3] = [
            |tx| append(tx, "kept"),
            |tx| {
                let full = "DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$";
                tx.conn.query(full, &[]).map(|_| 0)
            },
            |tx| append(tx, "kept as well"),
        ];
        let answers = in_one_batch(&writer, jobs).await;
        assert!(matches!(answers.as_slice(), [Ok(2), Err(DbError::Unavailable(_)), Ok(3)]), "{answers:?}");
        let stats = writer.stats();
        assert!(stats.doubted && !stats.last_commit_failed);
    }
}

/// Goes on to COMMIT although its own statement failed.
struct Careless;

impl Batch for Careless {
    type State = i64;

    fn begin(&mut self, _: &mut Conn) -> Result<i64, DbError> {
        Ok(0)
    }

    fn before_commit(&mut self, conn: &mut Conn, _: &mut i64, _: usize) -> Result<(), DbError> {
        assert!(conn.execute("UPDATE head SET value = NULL", &[]).is_err());
        Ok(())
    }

    fn after_commit(&mut self, _: i64) {
        panic!("on purpose: what is stored stays stored")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_the_engine_turns_into_a_rollback_is_not_a_success() {
    for db in databases() {
        db.schema(SCHEMA);
        let writer = Writer::start(&db.target, Careless, WriterConfig::default()).unwrap();
        let answer: Result<i64, DbError> = writer.submit(|tx| append(tx, "x")).await;
        assert_eq!(answer.is_ok(), notes(&db).len() == 1, "{}: {answer:?}", db.engine);
        assert_eq!(answer.is_ok(), db.url.is_none(), "PostgreSQL has rolled back, SQLite has not");
    }
}
