//! What the parts of a governed write cost by themselves: sealing a value, opening it, chaining an event, signing and
//! checking a checkpoint. Prints one line each: `part="…" p50_us=X p99_us=Y`. Each part in turns, so that what the machine
//! does falls on all of them alike.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark that cannot set up has nothing to report")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use portcullis_authority::vault::{KeyPurpose, KeyRing, Place, RootKey, Signer, WrappedKey, verify};
use portcullis_kernel::{
    audit::{Event, GENESIS, Outcome},
    time::Timestamp,
};

const ROUNDS: usize = 2_000;
const TURNS: usize = 5;
/// As large as a long key, and the largest value there may be.
const SIZES: [(&str, usize); 2] = [("1 KB", 1_000), ("64 KiB", 64 * 1024)];

/// Its name, what it does once, how long that took.
type Part = (String, Box<dyn FnMut()>, Vec<Duration>);

fn main() {
    let dir = std::env::temp_dir().join(format!("portcullis-bench-inside-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory for the key");
    let root = RootKey::load_or_create(&dir.join("root.key"), true).expect("a root key");
    std::fs::remove_dir_all(&dir).expect("the directory goes");
    let key = |id: &str, purpose| WrappedKey::generate(&root, id, purpose).expect("a key");
    let rows = [key("data-1", KeyPurpose::Data), key("digest-1", KeyPurpose::Digest)];
    let ring = KeyRing::load(&root, &rows, "data-1").expect("a ring");
    let signer = Signer::load(&root, &key("signing-1", KeyPurpose::Signing)).expect("a signer");
    let place = Place::secret("organisation", "workspace", "API_BASE", 7);
    let event = event();

    let mut parts: Vec<Part> = Vec::new();
    let mut part = |name: String, work: Box<dyn FnMut()>| parts.push((name, work, Vec::new()));
    let (ring, signer) = (&*Box::leak(Box::new(ring)), &*Box::leak(Box::new(signer)));
    for (name, bytes) in SIZES {
        let value = vec![b'v'; bytes];
        let sealed = ring.seal(&place, &value).expect("it seals");
        part(format!("seal a value of {name}"), Box::new(move || drop(black_box(ring.seal(&place, &value)))));
        part(format!("open a value of {name}"), Box::new(move || drop(black_box(ring.open(&place, &sealed)))));
    }
    let (mut at, mut head) = (0, GENESIS);
    part(
        "chain an event".to_owned(),
        Box::new(move || {
            at += 1;
            head = black_box(event.hash(at, &head));
        }),
    );
    let body = b"portcullis/00000000-0000-7000-8000-000000000001\n1000000\n".repeat(2);
    let (signature, public) = (signer.sign(&body), signer.verifying_key());
    let signed = body.clone();
    part("sign a checkpoint".to_owned(), Box::new(move || _ = black_box(signer.sign(&body))));
    part(
        "check a signature".to_owned(),
        Box::new(move || assert!(black_box(verify(&public, &signed, &signature)), "the signature holds")),
    );

    for _ in 0..TURNS {
        for (_, work, took) in &mut parts {
            for _ in 0..ROUNDS {
                let start = Instant::now();
                work();
                took.push(start.elapsed());
            }
        }
    }
    for (name, _, mut took) in parts {
        took.sort_unstable();
        let micros = |share: usize| took[took.len() * share / 1_000].as_nanos() as f64 / 1_000.0;
        println!("part=\"{name}\" p50_us={:.1} p99_us={:.1}", micros(500), micros(990));
    }
}

/// As a governed write leaves one.
fn event() -> Event {
    let id = "00000000-0000-7000-8000-000000000001".to_owned();
    Event {
        at_ms: Timestamp(1_780_000_000_000),
        event: "secret.set".to_owned(),
        outcome: Outcome::Done,
        request_id: id.clone(),
        subject_kind: "service".to_owned(),
        subject_id: id.clone(),
        lineage: id.clone(),
        verb: "secret.set".to_owned(),
        target_kind: "workspace".to_owned(),
        target_id: id.clone(),
        workspace_id: Some(id),
        key: Some("API_BASE".to_owned()),
        rule: "service.scoped".to_owned(),
        code: None,
        reason: None,
        issue: None,
        approval_id: None,
        consequences: "[{\"kind\":\"activates\",\"workspace\":\"00000000-0000-7000-8000-000000000001\"}]".to_owned(),
        detail: "{\"version\":7}".to_owned(),
    }
}
