//! The people, places and deeds that the tests of the decision share.

use portcullis_kernel::{
    deed::*,
    facts::{Facts, Kinship, TargetFacts},
    id::{ApprovalId, CredentialId, OperatorId, WorkspaceId},
    operator::Role,
    policy::{Decision, Policy, TooMany},
    runtime::Runtime,
    scope::Scopes,
    subject::{Lineage, Principal, Standing, Subject, SystemRole},
    verb::Verb,
    workspace::Kind,
};
use uuid::Uuid;

pub const ROOT: WorkspaceId = WorkspaceId::from_uuid(Uuid::from_u128(1));
/// Where the ordinary agent lives.
pub const HOME: WorkspaceId = WorkspaceId::from_uuid(Uuid::from_u128(2));
pub const OTHER: WorkspaceId = WorkspaceId::from_uuid(Uuid::from_u128(3));

const fn credential(n: u128) -> CredentialId {
    CredentialId::from_uuid(Uuid::from_u128(n))
}

/// What a deed is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Root,
    Home,
    Other,
    /// The organisation; a key there reaches every workspace, the root included.
    Organisation,
    /// The organisation; the root overrides the key, so it is not reached.
    RootOverrides,
    OwnToken,
    ForeignToken,
    RootToken,
    AdminToken,
    OwnApproval,
    ForeignApproval,
}

pub const WORKSPACES: [Place; 3] = [Place::Root, Place::Home, Place::Other];
pub const TOKENS: [Place; 4] = [Place::OwnToken, Place::ForeignToken, Place::RootToken, Place::AdminToken];
pub const APPROVALS: [Place; 2] = [Place::OwnApproval, Place::ForeignApproval];

impl Place {
    pub fn word(self) -> &'static str {
        match self {
            Self::Root => "the root",
            Self::Home => "the ordinary agent's home",
            Self::Other => "another workspace",
            Self::Organisation => "the organisation, reaching the root",
            Self::RootOverrides => "the organisation, not reaching the root",
            Self::OwnToken => "a token of its own",
            Self::ForeignToken => "somebody else's token",
            Self::RootToken => "the root agent's token",
            Self::AdminToken => "the admin token",
            Self::OwnApproval => "an approval it asked for",
            Self::ForeignApproval => "an approval somebody else asked for",
        }
    }

    pub fn workspace(self) -> Option<WorkspaceId> {
        match self {
            Self::Root => Some(ROOT),
            Self::Home => Some(HOME),
            Self::Other => Some(OTHER),
            _ => None,
        }
    }

    fn scope(self) -> SecretScope {
        self.workspace().map_or(SecretScope::Organisation, SecretScope::Workspace)
    }

    fn token(self) -> CredentialId {
        credential(100 + self as u128)
    }

    fn approval(self) -> ApprovalId {
        ApprovalId::from_uuid(Uuid::from_u128(200 + self as u128))
    }

    pub fn facts(self) -> TargetFacts {
        match self {
            Self::Root => TargetFacts::Workspace { id: ROOT, kind: Kind::Platform, ancestors: vec![] },
            Self::Home => TargetFacts::Workspace { id: HOME, kind: Kind::Workspace, ancestors: vec![ROOT] },
            Self::Other => TargetFacts::Workspace { id: OTHER, kind: Kind::Workspace, ancestors: vec![ROOT] },
            Self::Organisation | Self::RootOverrides => TargetFacts::Organisation,
            Self::OwnToken | Self::ForeignToken | Self::RootToken | Self::AdminToken => TargetFacts::Token {
                id: self.token(),
                own: self == Self::OwnToken,
                agent: match self {
                    Self::RootToken | Self::AdminToken => Some(ROOT),
                    Self::ForeignToken => Some(OTHER),
                    _ => None,
                },
                builtin: self == Self::AdminToken,
            },
            Self::OwnApproval | Self::ForeignApproval => {
                TargetFacts::Approval { id: self.approval(), own: self == Self::OwnApproval }
            }
        }
    }

    /// The workspaces that a change here lands on.
    fn reaches(self, verb: Verb) -> Vec<WorkspaceId> {
        use Verb::*;
        let lands = verb.is_secret_write()
            || matches!(
                verb,
                WorkspaceConfigure
                    | WorkspaceRestart
                    | WorkspaceApply
                    | WorkspaceForceStop
                    | WorkspacePause
                    | WorkspaceRemove
            );
        match self {
            _ if !lands => vec![],
            // A pause or a removal takes everything below along.
            Self::Root if matches!(verb, WorkspacePause | WorkspaceRemove) => vec![ROOT, HOME, OTHER],
            Self::Organisation => vec![ROOT, HOME, OTHER],
            Self::RootOverrides => vec![HOME, OTHER],
            _ => self.workspace().into_iter().collect(),
        }
    }
}

/// The places a verb can be aimed at.
pub fn places(verb: Verb) -> Vec<Place> {
    use Verb::*;
    let both = [Place::Organisation, Place::RootOverrides];
    match verb {
        verb if verb.is_secret_write() => [&WORKSPACES[..], &both].concat(),
        SecretRequest | TokenMint | WorkspaceCreate => [&WORKSPACES[..], &both[..1]].concat(),
        TokenRevoke => TOKENS.to_vec(),
        ApprovalDecide | ApprovalWithdraw => APPROVALS.to_vec(),
        OperatorCreate | OperatorUpdate | OperatorInvite | PolicyAdd | PolicyRemove | AuditExport | KeyRotate => {
            vec![both[0]]
        }
        _ => WORKSPACES.to_vec(),
    }
}

/// A deed of this verb, aimed there.
pub fn deed(verb: Verb, place: Place) -> Deed {
    let key = "API_BASE".parse().expect("a key");
    let name = || "a name".parse().expect("a name");
    let note = || "a note".parse().expect("a note");
    let (scope, base, reason) = (place.scope(), Base::Any, None);
    let workspace = place.workspace().unwrap_or(HOME);
    let update = |name, parent, runtime| WorkspaceUpdate { workspace, name, role: None, parent, runtime }.into();
    match verb {
        Verb::SecretSet => SecretSet {
            scope,
            key,
            base,
            delivery: Delivery::Env,
            activate: true,
            description: None,
            reason,
            expires_at: None,
        }
        .into(),
        Verb::SecretDelete => SecretDelete { scope, key, base, reason }.into(),
        Verb::SecretUndelete => SecretUndelete { scope, key }.into(),
        Verb::SecretDestroy => SecretDestroy { scope, key, version: None }.into(),
        Verb::SecretRollback => SecretRollback { scope, key, to_version: 1, base, reason }.into(),
        Verb::SecretActivate => SecretActivate { scope, key, version: 1 }.into(),
        Verb::SecretChangeSet => {
            SecretChangeSet { changes: vec![Change { scope, key, op: ChangeOp::Delete, base }], reason }.into()
        }
        Verb::SecretImport => SecretImport { scope, keys: vec![key] }.into(),
        Verb::SecretRequest => SecretRequest { scope, key, description: None }.into(),
        Verb::TokenMint => TokenMint {
            workspace: place.workspace(),
            name: name(),
            scopes: Scopes::agent(),
            expires_in_ms: 1_000,
            unattended: false,
            deliver_to: None,
        }
        .into(),
        Verb::TokenRevoke => TokenRevoke { credential: place.token() }.into(),
        Verb::EnrolmentIssue => EnrolmentIssue { workspace, expires_in_ms: 1_000 }.into(),
        Verb::WorkspaceCreate => {
            WorkspaceCreate { name: name(), role: None, parent: place.workspace(), runtime: None }.into()
        }
        Verb::WorkspaceRename => update(Some(name()), None, None),
        Verb::WorkspaceReparent => update(None, Some(ROOT), None),
        Verb::WorkspaceConfigure => update(None, None, Some(Runtime::echo())),
        Verb::WorkspaceRestart => WorkspaceRestart { workspace }.into(),
        Verb::WorkspacePause => WorkspacePause { workspace }.into(),
        Verb::WorkspaceResume => WorkspaceResume { workspace }.into(),
        Verb::WorkspaceRemove => WorkspaceRemove { workspace, confirm: None }.into(),
        Verb::WorkspaceApply => WorkspaceApply { workspace }.into(),
        Verb::WorkspaceForceStop => WorkspaceForceStop { workspace, reason: note(), boot: None, turn: None }.into(),
        Verb::MessageSend => {
            MessageSend { workspace, message_id: "1".to_owned(), context_id: None, digest: String::new() }.into()
        }
        Verb::ApprovalAsk => ApprovalAsk { workspace, action: name(), reason: note() }.into(),
        Verb::ApprovalDecide => ApprovalDecide {
            approval: place.approval(),
            approve: true,
            note: None,
            checklist: vec![],
            break_glass: false,
        }
        .into(),
        Verb::ApprovalWithdraw => ApprovalWithdraw { approval: place.approval() }.into(),
        Verb::OperatorCreate => {
            OperatorCreate { email: "a@example.org".parse().expect("an address"), role: Role::Member, groups: vec![] }
                .into()
        }
        Verb::OperatorUpdate => OperatorUpdate {
            operator: OperatorId::from_uuid(Uuid::from_u128(9)),
            role: Some(Role::Owner),
            groups: None,
            disabled: None,
        }
        .into(),
        Verb::OperatorInvite => OperatorInvite { operator: OperatorId::from_uuid(Uuid::from_u128(9)) }.into(),
        Verb::PolicyAdd => PolicyAdd { name: name(), text: String::new() }.into(),
        Verb::PolicyRemove => {
            PolicyRemove { policy: portcullis_kernel::id::PolicyId::from_uuid(Uuid::from_u128(8)) }.into()
        }
        Verb::EnvironmentRelease => EnvironmentRelease { workspace }.into(),
        Verb::AuditExport => AuditExport { after: 0 }.into(),
        Verb::KeyRotate => KeyRotate {}.into(),
    }
}

/// Somebody with a credential.
#[derive(Debug, Clone)]
pub struct Person {
    pub name: String,
    pub subject: Subject,
    pub standing: Standing,
    pub scopes: Scopes,
}

pub fn people() -> Vec<Person> {
    let person = |name: &str, principal, standing, scopes| Person {
        name: name.to_owned(),
        subject: Subject { principal, lineage: Lineage::default() },
        standing,
        scopes,
    };
    let mut all = vec![
        person("root agent, admin token", Principal::Agent(ROOT), Standing::Agent, Scopes::admin()),
        person("root agent, own token", Principal::Agent(ROOT), Standing::Agent, Scopes::workspace()),
        person("ordinary agent", Principal::Agent(HOME), Standing::Agent, Scopes::workspace()),
    ];
    for (name, unattended) in [("service, attended", false), ("service, unattended", true)] {
        let standing = Standing::Service { unattended };
        all.push(person(name, Principal::Service(credential(50)), standing, Scopes::agent()));
    }
    for role in Role::ALL {
        for stepped_up in [false, true] {
            let name = format!("{}{}", role.as_str(), if stepped_up { ", stepped up" } else { "" });
            let standing = Standing::Operator { role, groups: vec![], stepped_up };
            let id = OperatorId::from_uuid(Uuid::from_u128(60 + role as u128));
            all.push(person(&name, Principal::Operator(id), standing, Scopes::session()));
        }
    }
    let mut everything = Scopes::session();
    everything.0.extend(portcullis_kernel::scope::Scope::ALL);
    all.push(person("the platform", Principal::System(SystemRole::Executor), Standing::System, everything));
    all
}

/// The ordinary agent's home and the other workspace stand beside each other under the root.
fn kinship(principal: Principal, place: Place) -> Kinship {
    match (principal, place.workspace()) {
        (Principal::Agent(_), Some(_)) => Kinship::Peer,
        _ => Kinship::None,
    }
}

pub fn facts(person: &Person, verb: Verb, place: Place) -> Facts {
    Facts {
        root: ROOT,
        standing: person.standing.clone(),
        scopes: person.scopes.clone(),
        target: place.facts(),
        reaches: place.reaches(verb),
        approved: false,
        kinship: kinship(person.subject.principal, place),
        custom_runtime: false,
        quota_spent: false,
    }
}

/// What the shipped rules alone say.
pub fn ask(policy: &Policy, person: &Person, verb: Verb, place: Place, facts: &Facts) -> Decision {
    policy.decide(&person.subject, &deed(verb, place), Ok(facts), &Ok::<_, TooMany>(vec![]))
}

/// `allow`, `hold role:approver=1` or the code.
pub fn word(decision: &Decision) -> String {
    use portcullis_kernel::policy::Who;
    match decision {
        Decision::Allow(_) => "allow".to_owned(),
        Decision::Deny(denial) => denial.code.as_str().to_owned(),
        Decision::Hold(held) => {
            let votes = held.requirements.votes.iter().map(|(who, count)| match who {
                Who::Role(role) => format!("role:{}={count}", role.as_str()),
                Who::Group(group) => format!("group:{group}={count}"),
            });
            format!("hold {}", votes.collect::<Vec<_>>().join(","))
        }
    }
}
