use std::sync::{Arc, mpsc};

use futures_util::FutureExt;

use super::super::{
    Conn, DbError, Readers, ReadersConfig,
    testkit::{TestDb, databases},
};

fn readers(db: &TestDb, config: ReadersConfig) -> Arc<Readers> {
    db.schema("CREATE TABLE t (id {{int}} PRIMARY KEY);");
    Arc::new(Readers::open(&db.target, config).unwrap())
}

fn count(conn: &mut Conn) -> Result<i64, DbError> {
    conn.query_opt("SELECT count(*) FROM t", &[])?.map_or(Ok(-1), |row| row.int(0))
}

fn insert(db: &TestDb) {
    db.with(|conn| conn.execute("INSERT INTO t (id) SELECT count(*) FROM t", &[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_sees_one_state_however_many_statements_it_has() {
    for db in databases() {
        let readers = readers(&db, ReadersConfig::default());
        let (first_read, wait_first) = mpsc::sync_channel(1);
        let (go_on, wait_go_on) = mpsc::sync_channel::<()>(1);
        let task = tokio::spawn({
            let readers = Arc::clone(&readers);
            async move {
                let job = move |conn: &mut Conn| {
                    let before = count(conn)?;
                    first_read.send(()).unwrap();
                    wait_go_on.recv().unwrap();
                    Ok::<_, DbError>((before, count(conn)?))
                };
                readers.read_heavy(job).await
            }
        });
        tokio::task::spawn_blocking(move || wait_first.recv().unwrap()).await.unwrap();
        insert(&db);
        assert_eq!(readers.read(count).await, Ok(1), "{}: others see it at once", db.engine);
        go_on.send(()).unwrap();
        assert_eq!(task.await.unwrap(), Ok((0, 0)), "{}", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_cannot_write_and_a_panic_or_error_leaves_the_reader_usable() {
    for db in databases() {
        let readers = readers(&db, ReadersConfig { light: 1, heavy: 1, ..ReadersConfig::default() });
        let write = |conn: &mut Conn| conn.execute("INSERT INTO t (id) VALUES (1)", &[]);
        assert!(readers.read(write).await.is_err(), "{}", db.engine);
        assert!(readers.read_heavy(write).await.is_err(), "{}", db.engine);
        let panics = |_: &mut Conn| -> Result<(), DbError> { panic!("on purpose") };
        assert_eq!(readers.read(panics).await, Err(DbError::Panicked));
        assert_eq!(readers.read_heavy(panics).await, Err(DbError::Panicked));
        insert(&db);
        assert_eq!(readers.read(count).await, Ok(1), "{}", db.engine);
        assert_eq!(readers.read_heavy(count).await, Ok(1), "{}", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_long_reads_are_refused_at_once() {
    for db in databases() {
        // One runs and one waits on PostgreSQL; two places on SQLite.
        let queue_max = if db.url.is_some() { 1 } else { 2 };
        let readers = readers(&db, ReadersConfig { light: 1, heavy: 1, queue_max, ..ReadersConfig::default() });
        let (go_on, wait) = mpsc::sync_channel::<()>(1);
        let (started, running) = mpsc::sync_channel(1);
        let hold = tokio::spawn({
            let readers = Arc::clone(&readers);
            async move {
                let job = move |conn: &mut Conn| {
                    started.send(()).unwrap();
                    wait.recv().unwrap();
                    count(conn)
                };
                readers.read_heavy(job).await
            }
        });
        tokio::task::spawn_blocking(move || running.recv().unwrap()).await.unwrap();
        // It has its place from the first time it is polled.
        let mut second = Box::pin(readers.read_heavy(count));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(readers.read_heavy(count).await, Err(DbError::Busy), "{}", db.engine);
        assert_eq!(readers.read(count).await, Ok(0), "{}: short reads are not affected", db.engine);
        go_on.send(()).unwrap();
        assert_eq!((hold.await.unwrap(), second.await), (Ok(0), Ok(0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_replaced_for_the_next_job() {
    for db in databases() {
        if db.url.is_none() {
            continue;
        }
        let readers = readers(&db, ReadersConfig { light: 1, ..ReadersConfig::default() });
        kill_sessions(&db);
        assert_eq!(readers.read(count).await, Ok(0), "found dead before the job, so the job did not notice");
        let dies = readers
            .read(|conn| conn.query("SELECT CAST(pg_terminate_backend(pg_backend_pid()) AS BIGINT)", &[]).map(drop));
        assert!(matches!(dies.await, Err(DbError::Unavailable(_) | DbError::Sql(_))));
        assert_eq!(readers.read(count).await, Ok(0));
    }
}

pub(super) fn kill_sessions(db: &TestDb) {
    db.with(|conn| {
        conn.query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
            &[],
        )
    });
}
