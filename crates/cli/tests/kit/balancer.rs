//! A tiny balancer on loopback: connections go round among the servers that say they are ready.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How long it waits for a server that is ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A balancer that runs until it is dropped.
pub struct Balancer {
    pub url: String,
    task: JoinHandle<()>,
}

impl Balancer {
    /// In front of these servers.
    pub async fn start(servers: &[String]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let of = |server: &String| server.strip_prefix("http://").expect("plain HTTP").to_owned();
        let (servers, turn): (Arc<Vec<_>>, Arc<AtomicUsize>) =
            (Arc::new(servers.iter().map(of).collect()), Arc::default());
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (servers, turn) = (Arc::clone(&servers), Arc::clone(&turn));
                tokio::spawn(async move {
                    let mut server = chosen(&servers, &turn).await;
                    // However it ends: that is between the two of them.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { url, task }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection to the next server that is ready.
async fn chosen(servers: &[String], turn: &AtomicUsize) -> TcpStream {
    let begun = Instant::now();
    loop {
        let server = &servers[turn.fetch_add(1, Relaxed) % servers.len()];
        if ready(server).await.is_ok_and(|ready| ready)
            && let Ok(stream) = TcpStream::connect(server).await
        {
            return stream;
        }
        assert!(begun.elapsed() < PATIENCE, "no server is ready");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ready(server: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(format!("GET /ready HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
