//! What the writer keeps: its promises to callers who stopped waiting, its connection, its counts and its files.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use futures_util::FutureExt;

use super::{
    super::{Batch, Conn, DbError, NO_ANSWER, Role, Writer, WriterConfig, WriterFault, job::Tx, testkit::databases},
    writer::{SCHEMA, append, hold, notes, start, until_queued},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_waited_too_long_is_told_whether_its_job_may_still_be_done() {
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig { wait: Duration::from_millis(50), ..WriterConfig::default() });
        let (go_on, wait) = mpsc::sync_channel::<()>(1);
        let (started, running) = mpsc::sync_channel::<()>(1);
        let mut begun = Box::pin(writer.submit(move |_| {
            started.send(()).unwrap();
            wait.recv().unwrap();
            Ok::<(), WriterFault>(())
        }));
        // Not asked again before the job runs, however long that takes: so it is never found not to have begun.
        assert!(begun.as_mut().now_or_never().is_none());
        tokio::task::block_in_place(|| running.recv()).unwrap();
        let late: Result<i64, WriterFault> = writer.submit(|tx| Ok(append(tx, "late")?)).await;
        assert_eq!(late, Err(WriterFault::Unavailable(NO_ANSWER.into())), "{}", db.engine);
        assert_eq!(begun.await, Err(WriterFault::Unknown), "{}: it had begun", db.engine);
        go_on.send(()).unwrap();
        drop(Arc::into_inner(writer).unwrap());
        assert!(notes(&db).is_empty(), "{}: what was called not written was written later", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_any_more_is_done_before_the_writer_is_gone() {
    const JOBS: u64 = 60;
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig { batch_max: 1, ..WriterConfig::default() });
        let (go_on, held) = hold(&writer).await;
        for _ in 0..JOBS {
            let answer = writer.submit(|tx| append(tx, "x")).now_or_never();
            assert!(answer.is_none(), "{}: answered while the writer stands", db.engine);
        }
        assert_eq!(writer.stats().queued, JOBS);
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        drop(Arc::into_inner(writer).unwrap());
        assert_eq!(notes(&db).len() as u64, JOBS, "{}", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_takes_no_more_jobs_than_it_may() {
    for db in databases() {
        let (writer, chain) = start(&db, WriterConfig { batch_max: 2, ..WriterConfig::default() });
        let (go_on, held) = hold(&writer).await;
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let writer = Arc::clone(&writer);
                tokio::spawn(async move { writer.submit(|tx| append(tx, "x")).await })
            })
            .collect();
        until_queued(&writer, 5).await;
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(*chain.sizes.lock().unwrap(), [1, 2, 2, 1], "{}", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_waits_are_those_of_each_transaction() {
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig::default());
        let mut seen = Vec::new();
        for _ in 0..4 {
            writer.submit(|tx| append(tx, "x")).await.unwrap();
            let stats = writer.stats();
            seen.push((stats.statements, stats.waits));
        }
        // The first ones also prepare their statements.
        let last: Vec<_> = seen.windows(2).map(|two| (two[1].0 - two[0].0, two[1].1 - two[0].1)).collect();
        assert_eq!(last[1], last[2], "{}: {seen:?}", db.engine);
        // Head, savepoint, entry, release, head, commit.
        assert_eq!(last[2].0, 6, "{}: {seen:?}", db.engine);
        let waits = last[2].1;
        assert!(if db.url.is_some() { (1..6).contains(&waits) } else { waits == 0 }, "{}: {seen:?}", db.engine);
    }
}

/// Leaves something in the session of the writer that a new one does not have.
fn mark(tx: &mut Tx<'_, i64>) -> Result<(), DbError> {
    tx.conn.batch("CREATE TEMP TABLE mark (id INTEGER)")
}

fn is_marked(tx: &mut Tx<'_, i64>) -> Result<bool, DbError> {
    let count = if tx.conn.is_postgres() {
        "SELECT COUNT(*) FROM pg_class WHERE relname = 'mark' AND pg_table_is_visible(oid)"
    } else {
        "SELECT COUNT(*) FROM sqlite_temp_master WHERE name = 'mark'"
    };
    tx.conn.query_opt(count, &[])?.map_or(Ok(0), |row| row.int(0)).map(|found| found > 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_in_no_doubt_is_used_again() {
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig::default());
        writer.submit(mark).await.unwrap();
        assert_eq!(writer.submit(is_marked).await, Ok(true), "{}: after a success", db.engine);
        let refused: Result<(), DbError> = writer.submit(|_| Err(DbError::Check)).await;
        assert_eq!(refused, Err(DbError::Check));
        assert_eq!(writer.submit(is_marked).await, Ok(true), "{}: after a refusal", db.engine);
        let orphan = "INSERT INTO entry (seq, note, parent) VALUES (1, 'orphan', 404)";
        let failed: Result<u64, DbError> = writer.submit(move |tx| tx.conn.execute(orphan, &[])).await;
        assert!(matches!(failed, Err(DbError::Unavailable(_))), "{}: {failed:?}", db.engine);
        assert_eq!(writer.submit(is_marked).await, Ok(true), "{}: after a commit that was refused", db.engine);
        if db.url.is_some() {
            // Begun, and the lock was not to be had.
            db.run("ALTER TABLE writer_lock RENAME TO elsewhere");
            let failed = writer.submit(is_marked).await;
            assert!(matches!(failed, Err(DbError::Unavailable(_))), "{failed:?}");
            db.run("ALTER TABLE elsewhere RENAME TO writer_lock");
            assert_eq!(writer.submit(is_marked).await, Ok(true), "after a transaction that did not begin");
        }
        assert_eq!(writer.submit(|tx| append(tx, "after")).await, Ok::<_, DbError>(1), "{}", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_into_a_file_that_was_taken_away_is_not_called_stored() {
    for db in databases() {
        if db.url.is_some() {
            continue;
        }
        let (writer, chain) = start(&db, WriterConfig::default());
        writer.submit(mark).await.unwrap();
        // As the readers of a server do, it keeps the log files from being tidied away with the writer's connection.
        let mut reader = Conn::open(&db.target, Role::Reader).unwrap();
        reader.query("SELECT value FROM head", &[]).unwrap();
        let file = db.data_dir.join(super::super::SQLITE_FILE);
        let away = file.with_extension("away");
        let (from, to) = (file.clone(), away.clone());
        let taken: Result<i64, WriterFault> = writer
            .submit(move |tx| {
                std::fs::rename(from, to).unwrap();
                Ok(append(tx, "taken")?)
            })
            .await;
        assert_eq!(taken, Err(WriterFault::Unknown));
        assert!(writer.stats().last_commit_failed);
        let refused = writer.submit(|tx| append(tx, "refused")).await;
        assert!(matches!(&refused, Err(DbError::Unavailable(why)) if why.contains("was removed")), "{refused:?}");
        assert!(!file.exists(), "an empty file was put in its place");
        std::fs::rename(away, file).unwrap();
        assert_eq!(writer.submit(is_marked).await, Ok(false), "a connection in doubt was used again");
        writer.submit(|tx| append(tx, "after")).await.unwrap();
        assert_eq!(notes(&db).last().map(String::as_str), Some("after"));
        assert_eq!(*chain.sizes.lock().unwrap(), [1, 1, 1, 1]);
    }
}

/// Panics where nothing may go wrong any more.
struct Clumsy;

impl Batch for Clumsy {
    type State = i64;

    fn begin(&mut self, _: &mut Conn) -> Result<i64, DbError> {
        Ok(0)
    }

    fn before_commit(&mut self, _: &mut Conn, _: &mut i64, _: usize) -> Result<(), DbError> {
        Ok(())
    }

    fn after_commit(&mut self, _: i64) {
        panic!("on purpose")
    }
}

#[test]
fn a_panic_after_the_commit_does_not_turn_a_success_into_a_failure() {
    for db in databases() {
        db.schema(SCHEMA);
        let writer = Writer::start(&db.target, Clumsy, WriterConfig::default()).unwrap();
        let answer: Result<i64, WriterFault> = writer.submit_blocking(|tx| Ok(append(tx, "x")?));
        assert_eq!(answer, Ok(1), "{}", db.engine);
        assert_eq!((writer.stats().panics, writer.stats().failed_commits), (1, 0));
        assert_eq!(notes(&db), ["x"]);
    }
}

#[test]
fn faults_become_errors_and_errors_faults_without_losing_what_the_caller_may_do() {
    for (error, fault) in [
        (DbError::Busy, WriterFault::Busy),
        (DbError::Panicked, WriterFault::Panicked),
        (DbError::Check, WriterFault::Unavailable(DbError::Check.to_string())),
    ] {
        assert_eq!(WriterFault::from(error), fault);
    }
    for (fault, error) in [
        (WriterFault::Busy, DbError::Busy),
        (WriterFault::Panicked, DbError::Panicked),
        (WriterFault::Unknown, DbError::Unavailable(WriterFault::Unknown.to_string())),
        (WriterFault::Stopped, DbError::Unavailable(WriterFault::Stopped.to_string())),
    ] {
        assert_eq!(DbError::from(fault), error);
    }
}
