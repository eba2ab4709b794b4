//! How long one decision takes while the number of stored policies grows. Prints one line a size:
//! `part="decision, N policies stored" p50_us=X p99_us=Y`.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark that cannot set up has nothing to report")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_kernel::{
    deed::{Base, Deed, Delivery, SecretScope, SecretSet},
    facts::{Facts, Kinship, TargetFacts},
    id::WorkspaceId,
    policy::{Added, Decision, Index, Policy, request_slots},
    scope::Scopes,
    subject::{Lineage, Principal, Standing, Subject},
    workspace::Kind,
};
use uuid::Uuid;

/// Decisions of one turn.
const ROUNDS: usize = 10_000;
/// Policies that speak of the very workspace that is asked about: these are evaluated.
const APPLICABLE: usize = 4;

fn workspace(n: u128) -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::from_u128(n))
}

const SIZES: [usize; 3] = [0, 1_000, 100_000];
/// Each size in turns, so that what the machine and the allocator do falls on all of them alike.
const TURNS: usize = 5;

fn main() {
    let policy = Policy::shipped().expect("the shipped policies load");
    let indexes = SIZES.map(|size| index(&policy, size));
    let mut took = SIZES.map(|_| Vec::with_capacity(ROUNDS * TURNS));
    for _ in 0..TURNS {
        for (index, took) in indexes.iter().zip(&mut took) {
            measure(&policy, index, took);
        }
    }
    for (size, mut took) in SIZES.into_iter().zip(took) {
        took.sort_unstable();
        let micros = |share: usize| took[took.len() * share / 1_000].as_nanos() as f64 / 1_000.0;
        println!("part=\"decision, {}\" p50_us={:.1} p99_us={:.1}", stored(size), micros(500), micros(990));
    }
}

fn stored(size: usize) -> String {
    if size == 0 { "nothing stored".to_owned() } else { format!("{size} policies stored, {APPLICABLE} apply") }
}

fn target() -> WorkspaceId {
    workspace(2)
}

/// So many added policies, of which few can apply.
fn index(policy: &Policy, size: usize) -> Index {
    let mut index = Index::default();
    for n in 0..size {
        let about = if n < APPLICABLE { target() } else { workspace(1_000 + n as u128) };
        let text = format!(
            "forbid (principal is Agent, action, resource == Workspace::\"{about}\") when {{ context.quota_spent }};"
        );
        let id = format!("added-{n}");
        let slots = policy.read_added(&id, &text).expect("the added policy fits the schema");
        index.insert(&slots, &Arc::new(Added::new(id, text)));
    }
    index
}

fn measure(policy: &Policy, index: &Index, took: &mut Vec<Duration>) {
    let (root, target) = (workspace(1), target());
    let subject = Subject { principal: Principal::Agent(target), lineage: Lineage::default() };
    let deed = Deed::from(SecretSet {
        scope: SecretScope::Workspace(target),
        key: "API_BASE".parse().expect("a key"),
        base: Base::Any,
        delivery: Delivery::Env,
        activate: true,
        description: None,
        reason: None,
        expires_at: None,
    });
    let facts = Facts {
        root,
        standing: Standing::Agent,
        scopes: Scopes::workspace(),
        target: TargetFacts::Workspace { id: target, kind: Kind::Workspace, ancestors: vec![root] },
        reaches: vec![target],
        approved: false,
        kinship: Kinship::None,
        custom_runtime: false,
        quota_spent: false,
    };
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let added = index.candidates(&request_slots(&subject, &deed.verbs(), &facts));
        let decision = policy.decide(&subject, &deed, Ok(&facts), &added);
        took.push(start.elapsed());
        assert!(matches!(decision, Decision::Allow(_)), "an agent sets its own secret");
    }
}
