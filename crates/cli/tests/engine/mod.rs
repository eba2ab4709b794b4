//! A Docker engine to test on: named by `PORTCULLIS_TEST_DOCKER_SOCKET`, which `cargo xtask test` sets. Spoken to by hand,
//! so that what the runtime did is seen with other eyes than its own.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

use std::{
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::Value;

/// The image of all tests: a static shell and the libraries of the binary. Its own entry point must never run.
pub const IMAGE: &str = "portcullis-test:1";

/// The engine's socket with the image in it, or `None` where there is no engine and none is required.
#[expect(clippy::disallowed_methods, reason = "the test command tells its tests where the engine is")]
pub fn socket() -> Option<&'static Path> {
    static SOCKET: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = SOCKET.get_or_init(|| {
        let socket = std::env::var_os("PORTCULLIS_TEST_DOCKER_SOCKET").map(PathBuf::from);
        match &socket {
            Some(socket) => import(socket, false),
            None => assert!(
                std::env::var_os("PORTCULLIS_TEST_REQUIRE_ALL").is_none(),
                "PORTCULLIS_TEST_REQUIRE_ALL is set and PORTCULLIS_TEST_DOCKER_SOCKET is not"
            ),
        }
        socket
    });
    if found.is_none() {
        // Not worth failing for: only the note would be lost.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no Docker engine in PORTCULLIS_TEST_DOCKER_SOCKET; `cargo xtask test` starts one"
        );
    }
    found.as_deref()
}

/// Calls the engine; status and body.
pub fn call(socket: &Path, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let kind = if body.starts_with(b"{") { "application/json" } else { "application/x-tar" };
    let mut stream = UnixStream::connect(socket).expect("the engine listens");
    // In this version of HTTP an answer simply ends where the connection does.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("the engine reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the engine answers");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, answer.split_off(end + 4))
}

/// Asks the engine.
pub fn get(socket: &Path, path: &str) -> Value {
    let (status, body) = call(socket, "GET", path, b"");
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{status}: {error}"))
}

/// Puts the image into an engine, with the binary itself where no engine of this machine could lend it.
pub fn import(socket: &Path, with_binary: bool) {
    static IMAGES: AtomicU32 = AtomicU32::new(0);
    let number = IMAGES.fetch_add(1, Ordering::Relaxed);
    let root = std::env::temp_dir().join(format!("portcullis-image-{}-{number}", std::process::id()));
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    // What a volume is made of at first, and so whoever may write to it.
    std::fs::create_dir(root.join("work")).expect("a directory");
    std::fs::set_permissions(root.join("work"), std::fs::Permissions::from_mode(0o1777)).expect("a mode");
    if with_binary {
        let binary = bin.join("portcullis");
        std::fs::copy(env!("CARGO_BIN_EXE_portcullis"), &binary).expect("a copy");
        // Every container of these engines is a whole copy of its image. Where it cannot be made smaller it is large.
        let _ = Command::new("strip").arg(&binary).stderr(Stdio::null()).status();
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).is_file());
    let busybox = busybox.expect("busybox is installed: the package busybox-static");
    std::fs::copy(busybox, bin.join("busybox")).expect("a copy");
    for applet in [
        "sh", "cat", "chmod", "date", "env", "false", "fold", "grep", "head", "id", "kill", "ls", "mkdir", "rm", "sed",
        "setsid", "sleep", "sort", "stat", "tail", "touch", "tr", "true", "wc", "yes",
    ] {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("a link");
    }
    std::fs::write(root.join("not-a-program"), "x").expect("a file");
    for program in [busybox, env!("CARGO_BIN_EXE_portcullis")] {
        for library in libraries(program) {
            let inside = root.join(library.trim_start_matches('/'));
            std::fs::create_dir_all(inside.parent().expect("a directory")).expect("a directory");
            std::fs::copy(&library, inside).expect("a copy");
        }
    }
    let tar = Command::new("tar").arg("-c").arg("-C").arg(&root).arg(".").output().expect("tar runs");
    assert!(tar.status.success(), "{tar:?}");
    std::fs::remove_dir_all(&root).expect("removed");
    let (name, tag) = IMAGE.split_once(':').expect("a tag");
    // ENTRYPOINT ["/wrong"] and ENV FROM_IMAGE=yes
    let changes = "changes=ENTRYPOINT%20%5B%22%2Fwrong%22%5D&changes=ENV%20FROM_IMAGE%3Dyes";
    let path = format!("/images/create?fromSrc=-&repo={name}&tag={tag}&{changes}");
    let (status, body) = call(socket, "POST", &path, &tar.stdout);
    let body = String::from_utf8_lossy(&body);
    assert!(status == 200 && !body.contains("error"), "{status} {body}");
}

/// What a program is linked to, by path.
fn libraries(program: &str) -> Vec<String> {
    let listed = Command::new("ldd").arg(program).stderr(Stdio::null()).output().expect("ldd runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

/// Ids of the containers with a label, running or not.
pub fn labelled(socket: &Path, label: &str, value: &str) -> Vec<String> {
    // An engine that is gone took them along, and a second panic would hide the first.
    if UnixStream::connect(socket).is_err() {
        return Vec::new();
    }
    let filter = format!("%7B%22label%22%3A%5B%22{label}%3D{value}%22%5D%7D");
    let listed = get(socket, &format!("/containers/json?all=1&filters={filter}"));
    let ids = listed.as_array().into_iter().flatten().map(|one| one["Id"].as_str().unwrap_or_default().to_owned());
    ids.collect()
}

/// Removes every container with a label, running or not.
pub fn remove_labelled(socket: &Path, label: &str, value: &str) {
    for id in labelled(socket, label, value) {
        call(socket, "DELETE", &format!("/containers/{id}?force=1&v=1"), b"");
    }
}
