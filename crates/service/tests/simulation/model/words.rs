//! What acts are called, and what they are aimed at.

use crate::step::{Act, Change, Place, Write};

/// What it is aimed at; `None` for a token or a request.
pub(super) fn aim(act: &Act) -> Option<Place> {
    match act {
        Act::Secret { place, .. } | Act::Slot { place, .. } | Act::Mint { place, .. } => Some(*place),
        Act::Pair { one, two } => Some(if one.0 == two.0 { one.0 } else { Place::Org }),
        Act::Create { parent: at }
        | Act::Space { space: at, .. }
        | Act::Send { space: at }
        | Act::Agent { space: at, .. } => Some(Place::Space(*at)),
        Act::Rule { .. } | Act::Unrule { .. } | Act::Operator { .. } => Some(Place::Org),
        Act::Vote { .. } | Act::BreakGlass { .. } | Act::Withdraw { .. } | Act::Revoke { .. } => None,
        Act::LogIn { .. } | Act::LogOut | Act::StepUp | Act::Clock { .. } | Act::Tick => None,
    }
}

/// The name of the event.
pub(super) fn verb(act: &Act) -> &'static str {
    match act {
        Act::Secret { write, .. } => match write {
            Write::Set { .. } => "secret.set",
            Write::Delete { .. } => "secret.delete",
            Write::Undelete => "secret.undelete",
            Write::Destroy { .. } => "secret.destroy",
            Write::Rollback { .. } => "secret.rollback",
            Write::Activate { .. } => "secret.activate",
        },
        Act::Space { change, .. } => match change {
            Change::Restart => "workspace.restart",
            Change::Pause => "workspace.pause",
            Change::Resume => "workspace.resume",
            Change::Remove => "workspace.remove",
        },
        Act::Pair { .. } => "secret.change_set",
        Act::Slot { .. } => "secret.request",
        Act::Vote { .. } | Act::BreakGlass { .. } => "approval.decide",
        Act::Withdraw { .. } => "approval.withdraw",
        Act::Mint { .. } => "token.mint",
        Act::Revoke { .. } => "token.revoke",
        Act::Operator { .. } => "operator.update",
        Act::Create { .. } => "workspace.create",
        Act::Rule { .. } => "policy.add",
        Act::Unrule { .. } => "policy.remove",
        Act::Send { .. } => "message.send",
        Act::LogIn { .. } | Act::LogOut | Act::StepUp => "",
        Act::Agent { .. } | Act::Clock { .. } | Act::Tick => "",
    }
}

/// The word that says that it was done.
pub(super) fn done_word(act: &Act) -> &'static str {
    match act {
        Act::Secret { write, .. } => match write {
            Write::Set { .. } | Write::Rollback { .. } => "saved",
            Write::Activate { .. } => "activated",
            Write::Delete { .. } => "deleted",
            Write::Undelete => "undeleted",
            Write::Destroy { .. } => "destroyed",
        },
        Act::Pair { .. } | Act::Operator { .. } => "saved",
        Act::Slot { .. } => "requested",
        Act::Space { change: Change::Remove, .. } | Act::Unrule { .. } => "removed",
        Act::Withdraw { .. } => "withdrawn",
        _ => "",
    }
}

/// The status of an answer that it was done.
pub(super) fn done_status(act: &Act) -> u16 {
    match act {
        Act::Create { .. } | Act::Slot { .. } | Act::Rule { .. } | Act::Mint { place: Place::Space(_), .. } => 201,
        Act::Send { .. } => 202,
        _ => 200,
    }
}
