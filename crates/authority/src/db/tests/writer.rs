use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use super::super::{
    Batch, Conn, DbError, Writer, WriterConfig, WriterFault,
    job::Tx,
    testkit::{TestDb, databases},
};

pub(super) const SCHEMA: &str = "CREATE TABLE writer_lock (id {{int}} PRIMARY KEY){{strict}}; \
    CREATE TABLE head (id {{int}} PRIMARY KEY, value {{int}} NOT NULL){{strict}}; \
    INSERT INTO head (id, value) VALUES (1, 0); \
    CREATE TABLE parent (id {{int}} PRIMARY KEY){{strict}}; \
    CREATE TABLE entry (seq {{int}} PRIMARY KEY, note TEXT NOT NULL, \
        parent {{int}} REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED){{strict}};";

/// A counter kept in the database, as the head of the audit chain will be.
#[derive(Clone, Default)]
pub(super) struct Chain {
    pub(super) committed: Arc<AtomicI64>,
    pub(super) sizes: Arc<Mutex<Vec<usize>>>,
}

impl Batch for Chain {
    type State = i64;

    fn begin(&mut self, conn: &mut Conn) -> Result<i64, DbError> {
        conn.query_opt("SELECT value FROM head WHERE id = 1", &[])?.map_or(Ok(-1), |row| row.int(0))
    }

    fn before_commit(&mut self, conn: &mut Conn, state: &mut i64, jobs: usize) -> Result<(), DbError> {
        self.sizes.lock().unwrap().push(jobs);
        conn.execute("UPDATE head SET value = $1 WHERE id = 1", &[(*state).into()]).map(drop)
    }

    fn after_commit(&mut self, state: i64) {
        self.committed.store(state, SeqCst);
    }
}

pub(super) fn start(db: &TestDb, config: WriterConfig) -> (Arc<Writer<i64>>, Chain) {
    db.schema(SCHEMA);
    let chain = Chain::default();
    (Arc::new(Writer::start(&db.target, chain.clone(), config).unwrap()), chain)
}

pub(super) fn append(tx: &mut Tx<'_, i64>, note: &str) -> Result<i64, DbError> {
    *tx.state += 1;
    tx.conn.execute("INSERT INTO entry (seq, note) VALUES ($1, $2)", &[(*tx.state).into(), note.into()])?;
    Ok(*tx.state)
}

pub(super) fn notes(db: &TestDb) -> Vec<String> {
    db.with(|conn| {
        let rows = conn.query("SELECT note FROM entry ORDER BY seq", &[])?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
    })
}

/// Stops the writer inside a job until the sender is used, so that what is submitted meanwhile shares the next batch.
pub(super) async fn hold(
    writer: &Arc<Writer<i64>>,
) -> (mpsc::SyncSender<()>, tokio::task::JoinHandle<Result<(), DbError>>) {
    let (go_on, wait) = mpsc::sync_channel(1);
    let (started, running) = mpsc::sync_channel(1);
    let held = Arc::clone(writer);
    let task = tokio::spawn(async move {
        let job = move |_: &mut Tx<'_, i64>| {
            started.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        };
        held.submit(job).await
    });
    tokio::task::spawn_blocking(move || running.recv().unwrap()).await.unwrap();
    (go_on, task)
}

pub(super) async fn until_queued(writer: &Writer<i64>, jobs: u64) {
    while writer.stats().queued < jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(super) type Work = fn(&mut Tx<'_, i64>) -> Result<i64, DbError>;

/// What these are answered, in this order, when they share one transaction.
pub(super) async fn in_one_batch(writer: &Arc<Writer<i64>>, jobs: [Work; 3]) -> Vec<Result<i64, DbError>> {
    let (go_on, held) = hold(writer).await;
    let mut tasks = Vec::new();
    for (n, job) in jobs.into_iter().enumerate() {
        let shared = Arc::clone(writer);
        tasks.push(tokio::spawn(async move { shared.submit(job).await }));
        until_queued(writer, n as u64 + 1).await;
    }
    go_on.send(()).unwrap();
    held.await.unwrap().unwrap();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_committed_together() {
    for db in databases() {
        let (writer, chain) = start(&db, WriterConfig::default());
        let (go_on, held) = hold(&writer).await;
        let tasks: Vec<_> = (0..64)
            .map(|i| {
                let writer = Arc::clone(&writer);
                tokio::spawn(async move { writer.submit(move |tx| append(tx, &format!("{i}"))).await })
            })
            .collect();
        until_queued(&writer, 64).await;
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        let mut given = Vec::new();
        for task in tasks {
            given.push(task.await.unwrap().unwrap());
        }
        given.sort_unstable();
        assert_eq!(given, (1..=64).collect::<Vec<_>>(), "{}", db.engine);
        assert_eq!(*chain.sizes.lock().unwrap(), [1, 64]);
        assert_eq!(chain.committed.load(SeqCst), 64);
        let stats = writer.stats();
        assert_eq!((stats.batches, stats.jobs, stats.queued, stats.failed_commits), (2, 65, 0, 0));
        assert_eq!(notes(&db).len(), 64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_or_panicking_job_leaves_nothing_and_its_neighbours_commit() {
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig::default());
        let (go_on, held) = hold(&writer).await;
        let submit = |job: fn(&mut Tx<'_, i64>) -> Result<i64, DbError>| {
            let writer = Arc::clone(&writer);
            tokio::spawn(async move { writer.submit(job).await })
        };
        let mut tasks = Vec::new();
        for (n, job) in [
            (|tx: &mut Tx<'_, i64>| append(tx, "first")) as fn(&mut Tx<'_, i64>) -> Result<i64, DbError>,
            |tx| {
                append(tx, "refused")?;
                Err(DbError::Check)
            },
            |tx| {
                append(tx, "panicked")?;
                panic!("on purpose")
            },
            |tx| {
                append(tx, "twice")?;
                *tx.state -= 1;
                append(tx, "twice")
            },
            |tx| append(tx, "last"),
        ]
        .into_iter()
        .enumerate()
        {
            tasks.push(submit(job));
            until_queued(&writer, n as u64 + 1).await;
        }
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        let mut given = Vec::new();
        for task in tasks {
            given.push(task.await.unwrap());
        }
        assert_eq!(given[0], Ok(1), "{}", db.engine);
        assert_eq!(given[1], Err(DbError::Check));
        assert_eq!(given[2], Err(DbError::Panicked));
        assert!(matches!(given[3], Err(DbError::Unique { .. })));
        assert_eq!(given[4], Ok(2), "{}: the state was put back", db.engine);
        assert_eq!(notes(&db), ["first", "last"]);
        let stats = writer.stats();
        assert_eq!((stats.batches, stats.panics, stats.failed_commits), (2, 1, 0), "{}", db.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_busy_at_once() {
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig { queue_max: 2, batch_max: 8, ..WriterConfig::default() });
        let (go_on, held) = hold(&writer).await;
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let writer = Arc::clone(&writer);
                tokio::spawn(async move { writer.submit(|tx| append(tx, "waited")).await })
            })
            .collect();
        until_queued(&writer, 2).await;
        let refused: Result<i64, WriterFault> = writer.submit(|tx| Ok(*tx.state)).await;
        assert_eq!(refused, Err(WriterFault::Busy), "{}", db.engine);
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        for task in waiting {
            task.await.unwrap().unwrap();
        }
        assert_eq!(writer.stats().queued, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_on_one_database_never_lose_each_others_state() {
    for db in databases() {
        let (one, _) = start(&db, WriterConfig::default());
        let two = Arc::new(Writer::start(&db.target, Chain::default(), WriterConfig::default()).unwrap());
        let tasks: Vec<_> = (0..100)
            .map(|i| {
                let writer = Arc::clone(if i % 2 == 0 { &one } else { &two });
                tokio::spawn(async move { writer.submit(|tx| append(tx, "x")).await })
            })
            .collect();
        for task in tasks {
            let _: i64 = task.await.unwrap().unwrap_or_else(|error: DbError| panic!("{}: {error}", db.engine));
        }
        assert_eq!(notes(&db).len(), 100, "{}", db.engine);
        let head = db.with(|conn| conn.query_opt("SELECT value FROM head", &[])?.unwrap().int(0));
        assert_eq!(head, 100);
    }
}

#[test]
fn shutting_down_finishes_the_queue() {
    for db in databases() {
        let (writer, _) = start(&db, WriterConfig { queue_max: 4, batch_max: 2, ..WriterConfig::default() });
        std::thread::scope(|scope| {
            for _ in 0..20 {
                // Twenty into a queue of four: blocking callers wait for a place.
                scope.spawn(|| writer.submit_blocking(|tx| append(tx, "x")).unwrap_or_else(|e: DbError| panic!("{e}")));
            }
        });
        drop(Arc::into_inner(writer).unwrap());
        assert_eq!(notes(&db).len(), 20, "{}", db.engine);
    }
}

#[test]
fn a_writer_that_cannot_open_says_so() {
    let db = TestDb::sqlite();
    std::fs::create_dir(db.data_dir.join("portcullis.db")).unwrap();
    assert!(matches!(
        Writer::start(&db.target, Chain::default(), WriterConfig::default()).map(drop),
        Err(DbError::Unavailable(_))
    ));
}
