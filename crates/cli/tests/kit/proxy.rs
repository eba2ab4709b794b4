//! A door on loopback that shows a bearer token for a client that cannot: everything else passes as it came, byte by byte,
//! `Host` and `Origin` too. It understands no more of HTTP than where a request begins.

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

/// A proxy that runs until it is dropped.
pub struct Proxy {
    pub url: String,
    task: JoinHandle<()>,
}

impl Proxy {
    /// In front of this server, with this token.
    pub async fn start(server: &str, token: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = server.strip_prefix("http://").expect("plain HTTP").to_owned();
        let line = format!("Authorization: Bearer {token}\r\n");
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, line) = (server.clone(), line.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.expect("the server listens");
                    let ((from_client, mut to_client), (mut from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    // Whoever leaves first ends both: a client that gives up must be seen by the server.
                    tokio::select! {
                        passed = pass(BufReader::new(from_client), to_server, &line) => passed.expect("requests pass"),
                        _ = copy(&mut from_server, &mut to_client) => (),
                    }
                });
            }
        });
        Self { url, task }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes requests on, each with one line more, until the client leaves.
async fn pass(mut client: BufReader<OwnedReadHalf>, mut server: OwnedWriteHalf, line: &str) -> std::io::Result<()> {
    let mut head = String::new();
    loop {
        head.clear();
        let mut length = 0;
        // The request line, then headers up to an empty line.
        while !head.ends_with("\r\n\r\n") {
            let begun = head.len();
            if client.read_line(&mut head).await? == 0 {
                return Ok(());
            }
            if begun == 0 {
                head.push_str(line);
            } else if let Some((name, value)) = head[begun..].split_once(':') {
                assert!(!name.eq_ignore_ascii_case("transfer-encoding"), "a request in chunks");
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().expect("a length");
                }
            }
        }
        server.write_all(head.as_bytes()).await?;
        copy(&mut (&mut client).take(length), &mut server).await?;
        server.flush().await?;
    }
}
