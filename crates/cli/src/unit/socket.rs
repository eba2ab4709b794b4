//! The shim's socket: a few connections, one line of JSON each way, never a wait.

use std::{
    fs::{self, Permissions},
    io::{self, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use portcullis_service::runtime::process::{REQUEST_BYTES_MAX, Request, Status, names};

/// Connections at a time; the oldest makes room.
const CLIENTS_MAX: usize = 16;

/// The listening end and who is connected.
pub struct Socket {
    listener: UnixListener,
    clients: Vec<Client>,
}

/// Somebody connected.
pub struct Client {
    pub stream: UnixStream,
    request: Vec<u8>,
    /// It wants to hear of the end.
    waits: bool,
    /// It left, or does not speak properly. Forgotten after the round, so that positions hold in it.
    gone: bool,
}

impl Socket {
    /// Listens in the current directory, because the path of a socket has a limit and that of a directory has none.
    pub fn bind() -> io::Result<Self> {
        let listener = UnixListener::bind(names::SOCKET)?;
        fs::set_permissions(names::SOCKET, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, clients: Vec::new() })
    }

    /// Where connections arrive.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Where requests arrive.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// Forgets whoever left.
    pub fn tidy(&mut self) {
        self.clients.retain(|client| !client.gone);
    }

    /// Takes a connection, of the own user or root only.
    pub fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        let peer = getsockopt(&stream, PeerCredentials).map(|peer| peer.uid());
        let ours = peer.is_ok_and(|user| user == 0 || user == nix::unistd::geteuid().as_raw());
        if !ours || stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.clients.len() >= CLIENTS_MAX {
            self.clients.remove(0);
        }
        self.clients.push(Client { stream, request: Vec::new(), waits: false, gone: false });
    }

    /// Reads from one connection. It returns whole requests.
    pub fn read(&mut self, at: usize) -> Vec<Request> {
        let Some(client) = self.clients.get_mut(at) else { return Vec::new() };
        let mut requests = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            match client.stream.read(&mut piece) {
                Ok(bytes) if bytes > 0 && client.request.len() + bytes <= REQUEST_BYTES_MAX => {
                    client.request.extend_from_slice(piece.get(..bytes).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => {
                    client.gone = true;
                    break;
                }
            }
        }
        while let Some(end) = client.request.iter().position(|byte| *byte == b'\n') {
            let line = client.request.drain(..=end).collect::<Vec<_>>();
            let Ok(request) = serde_json::from_slice(&line) else {
                client.gone = true;
                return requests;
            };
            client.waits |= matches!(request, Request::Wait | Request::Stop { .. });
            requests.push(request);
        }
        requests
    }

    /// Answers one connection.
    pub fn answer(&mut self, at: usize, status: &Status) {
        if let Some(client) = self.clients.get_mut(at) {
            client.gone |= say(&mut client.stream, status).is_err();
        }
    }

    /// Tells everybody who waits how it ended, and stops listening.
    pub fn close(mut self, status: &Status) {
        for client in self.clients.iter_mut().filter(|client| client.waits) {
            // Whoever does not hear it reads the record.
            let _ = say(&mut client.stream, status);
        }
        let _ = fs::remove_file(names::SOCKET);
    }
}

/// An answer is far smaller than a socket's buffer: where it does not fit at once, nobody reads.
fn say(stream: &mut UnixStream, status: &Status) -> io::Result<()> {
    let mut line = serde_json::to_vec(status)?;
    line.push(b'\n');
    stream.write_all(&line)
}
