//! What deeds mean: whom they are aimed at, which secrets they write, and what they do beyond their own row.

#![expect(clippy::expect_used, reason = "a cast that cannot be set up ends the test")]

#[expect(dead_code, reason = "each test uses its part of the cast")]
mod cast;

use cast::{HOME, OTHER, Place, ROOT, deed};
use portcullis_kernel::{
    consequence::{Consequence, within},
    deed::*,
    name::SecretKey,
    operator::Role,
    runtime::Runtime,
    scope::{Scope, Scopes},
    subject::{Principal, SystemRole},
    verb::Verb,
};

const NEAR: SecretScope = SecretScope::Workspace(HOME);
const FAR: SecretScope = SecretScope::Workspace(OTHER);

fn key(text: &str) -> SecretKey {
    text.parse().expect("a key")
}

fn change(scope: SecretScope, text: &str) -> Change {
    Change { scope, key: key(text), op: ChangeOp::Delete, base: Base::Any }
}

fn change_set(changes: Vec<Change>) -> Deed {
    SecretChangeSet { changes, reason: None }.into()
}

#[test]
fn a_change_set_is_aimed_where_all_of_it_lands() {
    for (changes, target) in [
        (vec![change(NEAR, "A")], Target::Workspace(HOME)),
        (vec![change(NEAR, "A"), change(NEAR, "B")], Target::Workspace(HOME)),
        (vec![change(NEAR, "A"), change(FAR, "B")], Target::Organisation),
        (vec![change(NEAR, "A"), change(NEAR, "B"), change(FAR, "C")], Target::Organisation),
        (vec![change(SecretScope::Organisation, "A")], Target::Organisation),
        (vec![], Target::Organisation),
    ] {
        assert_eq!(change_set(changes.clone()).target(), target, "{changes:?}");
    }
}

#[test]
fn a_token_is_delivered_elsewhere_if_it_is_of_one_workspace_and_goes_into_another() {
    let to = |workspace_id| Some(DeliverTo { workspace_id, key: key("TOKEN") });
    for (workspace, deliver_to, elsewhere) in [
        (Some(HOME), to(HOME), false),
        (Some(HOME), to(OTHER), true),
        (Some(HOME), None, false),
        (None, to(OTHER), false),
        (None, None, false),
    ] {
        let mint = TokenMint {
            workspace,
            name: "token".parse().expect("a name"),
            scopes: Scopes::agent(),
            expires_in_ms: 1000,
            unattended: false,
            deliver_to,
        };
        assert_eq!(mint.is_delivered_elsewhere(), elsewhere, "{mint:?}");
    }
}

#[test]
fn a_target_is_named_by_its_kind_and_id() {
    for (verb, place, kind) in [
        (Verb::KeyRotate, Place::Organisation, "organisation"),
        (Verb::SecretSet, Place::Home, "workspace"),
        (Verb::TokenRevoke, Place::ForeignToken, "token"),
        (Verb::ApprovalDecide, Place::ForeignApproval, "approval"),
    ] {
        let target = deed(verb, place).target();
        let id = match target {
            Target::Organisation => String::new(),
            Target::Workspace(id) => id.to_string(),
            Target::Token(id) => id.to_string(),
            Target::Approval(id) => id.to_string(),
        };
        assert_eq!((target.kind(), target.id()), (kind, id));
    }
}

#[test]
fn a_deed_names_its_key_and_every_secret_that_it_writes() {
    for verb in Verb::ALL.iter().copied() {
        let said = deed(verb, Place::Home);
        let named = verb.is_secret_write() || verb == Verb::SecretRequest;
        assert_eq!(said.key().map(SecretKey::as_str), named.then_some("API_BASE"), "{}", verb.as_str());
        let written: Vec<_> = said.secrets_written().into_iter().map(|(scope, key)| (scope, key.as_str())).collect();
        let expected = if verb.is_secret_write() { vec![(NEAR, "API_BASE")] } else { Vec::new() };
        assert_eq!(written, expected, "{}", verb.as_str());
    }
    let several = change_set(vec![change(NEAR, "A"), change(FAR, "B")]);
    assert_eq!(several.key(), Some(&key("A")));
    assert_eq!(several.secrets_written(), [(NEAR, &key("A")), (FAR, &key("B"))]);
    let imported = Deed::from(SecretImport { scope: FAR, keys: vec![key("A"), key("B")] });
    assert_eq!(imported.secrets_written(), [(FAR, &key("A")), (FAR, &key("B"))]);
    let Deed::TokenMint(mint) = deed(Verb::TokenMint, Place::Home) else { panic!("another deed") };
    let delivered =
        Deed::from(TokenMint { deliver_to: Some(DeliverTo { workspace_id: OTHER, key: key("T") }), ..mint });
    assert_eq!(delivered.secrets_written(), [(FAR, &key("T"))]);
}

#[test]
fn every_deed_declares_what_it_does_to_agents() {
    let (reaches, grants) = ([HOME, OTHER], |scope: &str| Consequence::Grants { scope: scope.to_owned() });
    let each = |make: fn(_) -> Consequence| reaches.map(make).to_vec();
    let operator = "00000000-0000-0000-0000-000000000009";
    for verb in Verb::ALL.iter().copied() {
        let expected = match verb {
            verb if verb.is_secret_write() => each(|workspace| Consequence::Reconfigures { workspace }),
            Verb::WorkspaceConfigure => each(|workspace| Consequence::Reconfigures { workspace }),
            Verb::WorkspaceRestart | Verb::WorkspacePause | Verb::WorkspaceApply | Verb::WorkspaceForceStop => {
                each(|workspace| Consequence::Interrupts { workspace })
            }
            Verb::WorkspaceRemove => each(|workspace| Consequence::Destroys { workspace }),
            Verb::EnvironmentRelease => vec![Consequence::Releases { workspace: HOME }],
            Verb::EnrolmentIssue => vec![grants(&format!("{HOME}: enrolment"))],
            Verb::OperatorCreate => vec![grants("operator: member")],
            Verb::OperatorUpdate => vec![grants("operator: owner")],
            Verb::OperatorInvite => vec![grants(&format!("operator: {operator}"))],
            Verb::TokenMint => {
                let scopes: Vec<_> = Scopes::agent().0.iter().map(|scope| scope.as_str()).collect();
                let mut all = vec![grants(&format!("{HOME}: {}", scopes.join(" ")))];
                all.extend(each(|workspace| Consequence::Reconfigures { workspace }));
                all
            }
            _ => Vec::new(),
        };
        assert_eq!(deed(verb, Place::Home).consequences(&reaches), expected, "{}", verb.as_str());
    }
    let Deed::TokenMint(mint) = deed(Verb::TokenMint, Place::Organisation) else { panic!("another deed") };
    let scopes = Scopes([Scope::SecretsRead].into());
    let wide = Deed::from(TokenMint { scopes, ..mint }).consequences(&[]);
    assert_eq!(wide, [grants("organisation: secrets:read")]);
    let Deed::OperatorUpdate(update) = deed(Verb::OperatorUpdate, Place::Organisation) else { panic!("another deed") };
    let disabled = OperatorUpdate { role: None, disabled: Some(true), ..update };
    assert!(Deed::from(disabled).consequences(&reaches).is_empty(), "nothing is granted");
}

#[test]
fn an_update_needs_every_permission_it_makes_use_of() {
    use Verb::{WorkspaceConfigure as Configure, WorkspaceRename as Rename, WorkspaceReparent as Reparent};
    for (name, role, parent, runtime, verbs) in [
        (false, false, false, false, vec![Rename]),
        (true, false, false, false, vec![Rename]),
        (false, true, false, false, vec![Rename]),
        (false, false, true, false, vec![Reparent]),
        (false, false, false, true, vec![Configure]),
        (true, false, false, true, vec![Configure, Rename]),
        (false, true, true, false, vec![Reparent, Rename]),
        (false, false, true, true, vec![Reparent, Configure]),
        (true, true, true, true, vec![Reparent, Configure, Rename]),
    ] {
        let update = Deed::from(WorkspaceUpdate {
            workspace: HOME,
            name: name.then(|| "a name".parse().expect("a name")),
            role: role.then(|| "a note".parse().expect("a note")),
            parent: parent.then_some(ROOT),
            runtime: runtime.then(Runtime::echo),
        });
        assert_eq!(update.verbs(), verbs);
        assert_eq!(update.verb(), verbs[0], "the first names it in the log");
        assert_eq!(update.runtime(), runtime.then(Runtime::echo).as_ref());
    }
    let made = |runtime: Option<Runtime>| {
        Deed::from(WorkspaceCreate { name: "a name".parse().expect("a name"), role: None, parent: None, runtime })
    };
    assert_eq!(made(Some(Runtime::echo())).runtime(), Some(&Runtime::echo()));
    assert_eq!(made(None).runtime(), None);
    assert_eq!(deed(Verb::WorkspaceRestart, Place::Home).runtime(), None);
}

#[test]
fn what_has_to_be_restarted_is_what_is_interrupted_changed_or_destroyed() {
    let workspace = HOME;
    for (consequence, intent, about) in [
        (Consequence::Interrupts { workspace }, true, Some(HOME)),
        (Consequence::Reconfigures { workspace }, true, Some(HOME)),
        (Consequence::Destroys { workspace }, true, Some(HOME)),
        (Consequence::Releases { workspace }, false, Some(HOME)),
        (Consequence::Grants { scope: "organisation".to_owned() }, false, None),
    ] {
        assert_eq!((consequence.needs_intent(), consequence.workspace()), (intent, about), "{consequence:?}");
    }
}

#[test]
fn an_effect_may_shrink_and_not_grow() {
    let [a, b] = [HOME, OTHER].map(|workspace| Consequence::Reconfigures { workspace });
    let harder = Consequence::Interrupts { workspace: HOME };
    for (now, then, fits) in [
        (vec![], vec![], true),
        (vec![], vec![a.clone()], true),
        (vec![a.clone()], vec![a.clone(), b.clone()], true),
        (vec![a.clone(), b.clone()], vec![b.clone(), a.clone()], true),
        (vec![a.clone(), b], vec![a.clone()], false),
        (vec![harder], vec![a.clone()], false),
        (vec![a], vec![], false),
    ] {
        assert_eq!(within(&now, &then), fits, "{now:?} within {then:?}");
    }
}

#[test]
fn words_read_back_and_no_other_word_does() {
    for role in Role::ALL {
        assert_eq!(Role::parse(role.as_str()), Some(role));
    }
    for delivery in [Delivery::Env, Delivery::File] {
        assert_eq!(Delivery::parse(delivery.as_str()), Some(delivery));
    }
    assert_eq!((Role::parse("root"), Delivery::parse("pipe")), (None, None));
    assert_eq!((NEAR.as_text(), SecretScope::Organisation.as_text()), (HOME.to_string(), "organisation".to_owned()));
    assert_eq!((NEAR.workspace(), SecretScope::Organisation.workspace()), (Some(HOME), None));
    for principal in cast::people().into_iter().map(|person| person.subject.principal) {
        assert_eq!(Principal::parse(principal.kind(), &principal.id()), Some(principal));
        assert_eq!(principal.to_string(), format!("{}:{}", principal.kind(), principal.id()));
        assert_eq!(Principal::parse("root", &principal.id()), None);
    }
    assert_eq!(Principal::parse("system", SystemRole::Door.as_str()), Some(Principal::System(SystemRole::Door)));
}

#[test]
fn each_credential_holds_the_scopes_of_its_kind() {
    use Scope::*;
    let holds = |scopes: &Scopes, scope| scopes.has(scope);
    for (scopes, pulls, governs, measures, audits) in [
        (Scopes::agent(), false, false, false, true),
        (Scopes::admin(), false, false, true, true),
        (Scopes::workspace(), true, false, false, false),
        (Scopes::session(), false, true, true, true),
    ] {
        assert_eq!(holds(&scopes, SecretsPull), pulls, "{scopes:?}");
        assert_eq!(holds(&scopes, Govern), governs, "{scopes:?}");
        assert_eq!(holds(&scopes, MetricsRead), measures, "{scopes:?}");
        assert_eq!(holds(&scopes, AuditRead), audits, "{scopes:?}");
        for scope in
            Scope::ALL.iter().copied().filter(|scope| ![SecretsPull, Govern, MetricsRead, AuditRead].contains(scope))
        {
            assert!(holds(&scopes, scope), "{scope:?} of {scopes:?}");
        }
    }
    assert!(Scopes::agent().within(&Scopes::admin()) && !Scopes::admin().within(&Scopes::agent()));
}
