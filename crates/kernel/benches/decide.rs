//! How long one decision takes while the number of stored policies grows. Prints one line a size:
//! `policies=N p50_us=X p99_us=Y`.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark that cannot set up has nothing to report")]

use std::{sync::Arc, time::Instant};

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

const ROUNDS: usize = 20_000;
/// Policies that speak of the very workspace that is asked about: these are evaluated.
const APPLICABLE: usize = 4;

fn workspace(n: u128) -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::from_u128(n))
}

fn main() {
    let policy = Policy::shipped().expect("the shipped policies load");
    for size in [0, 1_000, 100_000] {
        measure(&policy, size);
    }
}

fn measure(policy: &Policy, size: usize) {
    let (root, target) = (workspace(1), workspace(2));
    let mut index = Index::default();
    for n in 0..size {
        let about = if n < APPLICABLE { target } else { workspace(1_000 + n as u128) };
        let text = format!(
            "forbid (principal is Agent, action, resource == Workspace::\"{about}\") when {{ context.quota_spent }};"
        );
        let id = format!("added-{n}");
        let slots = policy.read_added(&id, &text).expect("the added policy fits the schema");
        index.insert(&slots, &Arc::new(Added::new(id, text)));
    }
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
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let added = index.candidates(&request_slots(&subject, &deed.verbs(), &facts));
        let decision = policy.decide(&subject, &deed, Ok(&facts), &added);
        took.push(start.elapsed());
        assert!(matches!(decision, Decision::Allow(_)), "an agent sets its own secret");
    }
    took.sort_unstable();
    let micros = |share: usize| took[ROUNDS * share / 1_000].as_nanos() as f64 / 1_000.0;
    println!("policies={size} p50_us={:.1} p99_us={:.1}", micros(500), micros(990));
}
