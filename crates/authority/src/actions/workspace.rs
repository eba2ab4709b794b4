//! Workspaces: create, change, restart, pause, resume, remove.

use portcullis_kernel::{
    deed::{
        WorkspaceApply, WorkspaceCreate, WorkspaceForceStop, WorkspacePause, WorkspaceRemove, WorkspaceRestart,
        WorkspaceResume, WorkspaceUpdate,
    },
    id::WorkspaceId,
    lifecycle::{Desired, StopWhy},
    refusal::Code,
    runtime::Runtime,
    workspace::{Kind, Status, TREE_DEPTH_MAX, WORKSPACES_MAX},
};
use serde::{Deserialize, Serialize};

use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    fleet::{self, Ended},
    gate::Cx,
    permit::{Permit, Spent},
    refusal::{Fault, Refusal},
    tables::{
        credentials, messages, runs, turns,
        workspaces::{self, NewWorkspace, Settings, WorkspaceRow},
    },
    vault,
};

/// A workspace that was created or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceSaved {
    /// Which.
    pub id: WorkspaceId,
}

/// Workspaces that were touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// Which, the one named first.
    pub workspaces: Vec<WorkspaceId>,
}

/// Workspaces that were removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceRemoved {
    /// Which, the one named first.
    pub workspaces: Vec<WorkspaceId>,
    /// Credentials that ended with them.
    pub revoked: u64,
}

fn require(cx: &mut Cx<'_>, id: WorkspaceId) -> Result<WorkspaceRow, Fault> {
    workspaces::find(cx.conn, id)?.ok_or_else(|| Fault::code(Code::WorkspaceNotFound))
}

fn runs(cx: &Cx<'_>, runtime: Option<&Runtime>) -> Result<(), Fault> {
    let Some(runtime) = runtime else { return Ok(()) };
    runtime.check().map_err(|error| Fault::refused(Code::InvalidField, error.to_string()))?;
    if runtime.kind.is_remote() && !cx.core.config.reached_from_afar {
        return Err(Fault::code(Code::AgentsUrlNeeded));
    }
    Ok(())
}

fn tree_refused(reason: impl Into<String>) -> Fault {
    Fault::refused(Code::TreeRefused, reason)
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for WorkspaceCreate {
    type Cargo = ();
    type Done = WorkspaceSaved;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let parent = self.parent.unwrap_or(cx.core.root);
        require(cx, parent)?;
        if workspaces::ancestors(cx.conn, parent)?.len() + 2 > TREE_DEPTH_MAX {
            return Err(tree_refused(format!("the tree is at most {TREE_DEPTH_MAX} deep")));
        }
        runs(cx, self.runtime.as_ref())?;
        if workspaces::count(cx.conn)? >= WORKSPACES_MAX {
            return Err(Fault::refused(Code::LimitReached, format!("at most {WORKSPACES_MAX} workspaces")));
        }
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<WorkspaceSaved>, Fault> {
        permit.spend(|w, deed, _| {
            let id = WorkspaceId::from_uuid(vault::uuid_v7(w.now().0));
            let parent = deed.parent.unwrap_or(w.core().root);
            workspaces::insert(
                w,
                &NewWorkspace {
                    id,
                    name: deed.name.as_str(),
                    role: deed.role.as_ref().map(|note| note.as_str()),
                    kind: Kind::Workspace,
                    parent: Some(parent),
                    runtime: deed.runtime.as_ref(),
                },
            )?;
            Ok(WorkspaceSaved { id })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for WorkspaceUpdate {
    type Cargo = ();
    type Done = WorkspaceSaved;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let row = require(cx, self.workspace)?;
        if self.name.is_none() && self.role.is_none() && self.parent.is_none() && self.runtime.is_none() {
            return Err(Fault::refused(Code::InvalidField, "nothing to change"));
        }
        runs(cx, self.runtime.as_ref())?;
        let Some(parent) = self.parent else { return Ok(Prepared::default()) };
        if row.kind == Kind::Platform {
            return Err(tree_refused("the root has no parent"));
        }
        let subtree = workspaces::subtree(cx.conn, self.workspace)?;
        if subtree.iter().any(|(id, _)| *id == parent) {
            return Err(tree_refused("the new parent is below the workspace itself"));
        }
        let height = subtree.last().map_or(0, |(_, depth)| usize::try_from(*depth).unwrap_or(TREE_DEPTH_MAX));
        if workspaces::ancestors(cx.conn, parent)?.len() + 2 + height > TREE_DEPTH_MAX {
            return Err(tree_refused(format!("the tree is at most {TREE_DEPTH_MAX} deep")));
        }
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<WorkspaceSaved>, Fault> {
        permit.spend(|w, deed, _| {
            workspaces::update(
                w,
                deed.workspace,
                &Settings {
                    name: deed.name.as_ref().map(|name| name.as_str()),
                    role: deed.role.as_ref().map(|note| note.as_str()),
                    parent: deed.parent,
                    runtime: deed.runtime.as_ref(),
                },
            )?;
            Ok(WorkspaceSaved { id: deed.workspace })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for WorkspaceRestart {
    type Cargo = ();
    type Done = Affected;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let row = require(cx, self.workspace)?;
        if row.desired != Desired::Running {
            return Err(Fault::refused(Code::Conflict, "the workspace is paused; resume it instead"));
        }
        Ok(Prepared::default())
    }

    // The intent is the effect; the gate commits it from the declared consequence.
    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Affected>, Fault> {
        permit.spend(|w, deed, _| {
            // Whoever may ask for the root is a human, and has asked.
            workspaces::allow_restart(w, deed.workspace)?;
            Ok(Affected { workspaces: vec![deed.workspace] })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for WorkspaceApply {
    type Cargo = ();
    type Done = Affected;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let row = require(cx, self.workspace)?;
        match runs::live(cx.conn, self.workspace)? {
            Some(run) if !run.kind.is_managed() => {
                Err(Fault::refused(Code::Conflict, "its agent runs elsewhere; it takes what changed when it pulls"))
            }
            Some(run) if run.generation < row.desired_generation => Ok(Prepared::default()),
            _ => Err(Fault::refused(Code::Conflict, "nothing waits to be applied")),
        }
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Affected>, Fault> {
        permit.spend(|w, deed, _| {
            workspaces::allow_restart(w, deed.workspace)?;
            Ok(Affected { workspaces: vec![deed.workspace] })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for WorkspaceForceStop {
    type Cargo = ();
    type Done = Affected;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        require(cx, self.workspace)?;
        if self.reason.as_str().trim().is_empty() {
            return Err(Fault::refused(Code::InvalidField, "`reason` says why a turn is cut"));
        }
        // What was asked about one run, in one turn, is not said of another.
        let moved = || Fault::refused(Code::Conflict, "what it was asked about has ended");
        if let Some(turn) = self.turn
            && turns::running(cx.conn, self.workspace)?.is_none_or(|running| running.id != turn)
        {
            return Err(moved());
        }
        match runs::live(cx.conn, self.workspace)? {
            Some(run) if self.boot.is_some_and(|boot| boot != run.boot) => Err(moved()),
            Some(run) if run.kind.is_managed() => Ok(Prepared::default()),
            Some(_) => Err(Fault::refused(Code::Conflict, "its agent runs elsewhere and is not stopped from here")),
            None => Err(Fault::refused(Code::Conflict, "no agent runs here")),
        }
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Affected>, Fault> {
        permit.spend(|w, deed, _| {
            let run = runs::live(w.conn(), deed.workspace)?.ok_or_else(|| Fault::code(Code::Conflict))?;
            workspaces::force(w, deed.workspace, run.boot)?;
            workspaces::allow_restart(w, deed.workspace)?;
            Ok(Affected { workspaces: vec![deed.workspace] })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for WorkspacePause {
    type Cargo = ();
    type Done = Affected;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        require(cx, self.workspace)?;
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Affected>, Fault> {
        permit.spend(|w, deed, _| {
            let mut affected = Vec::new();
            for (id, _) in workspaces::subtree(w.conn(), deed.workspace)? {
                let row = workspaces::find(w.conn(), id)?;
                if row.is_some_and(|row| row.desired != Desired::Paused) {
                    // Where an agent runs it is drained first; the supervisor says when it is paused.
                    let runs = runs::live(w.conn(), id)?.is_some_and(|run| run.kind.is_managed());
                    let status = if runs { Status::Draining } else { Status::Paused };
                    workspaces::set_state(w, id, Desired::Paused, status)?;
                    affected.push(id);
                }
            }
            Ok(Affected { workspaces: affected })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for WorkspaceResume {
    type Cargo = ();
    type Done = Affected;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        require(cx, self.workspace)?;
        for ancestor in workspaces::ancestors(cx.conn, self.workspace)? {
            if require(cx, ancestor)?.desired == Desired::Paused {
                return Err(Fault::from(
                    Refusal::new(Code::AncestorPaused).with("paused_ancestor", ancestor.to_string()),
                ));
            }
        }
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Affected>, Fault> {
        permit.spend(|w, deed, _| {
            let mut affected = Vec::new();
            for (id, _) in workspaces::subtree(w.conn(), deed.workspace)? {
                let row = workspaces::find(w.conn(), id)?;
                if row.is_some_and(|row| row.desired == Desired::Paused) {
                    workspaces::set_state(w, id, Desired::Running, Status::Provisioning)?;
                    affected.push(id);
                }
            }
            Ok(Affected { workspaces: affected })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for WorkspaceRemove {
    type Cargo = ();
    type Done = WorkspaceRemoved;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let row = require(cx, self.workspace)?;
        if row.kind == Kind::Platform {
            return Err(Fault::refused(Code::Conflict, "the root workspace cannot be removed"));
        }
        let subtree = workspaces::subtree(cx.conn, self.workspace)?;
        let confirmed = self.confirm.as_ref().is_some_and(|name| name.as_str() == row.name);
        if subtree.len() > 1 && !confirmed {
            let mut children = Vec::new();
            for (id, _) in subtree.iter().skip(1) {
                children.push(serde_json::json!({"id": id, "name": require(cx, *id)?.name}));
            }
            return Err(Fault::from(Refusal::new(Code::ConfirmationRequired).with("children", children)));
        }
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<WorkspaceRemoved>, Fault> {
        permit.spend(|w, deed, _| {
            let ids: Vec<_> = workspaces::subtree(w.conn(), deed.workspace)?.into_iter().map(|(id, _)| id).collect();
            let mut revoked = 0;
            for id in &ids {
                // Tombstone and credentials together: nothing revives it later.
                workspaces::set_state(w, *id, Desired::Removed, Status::Removed)?;
                let now = w.now().0;
                messages::fail_all(w.conn(), *id, "the workspace was removed", now)?;
                revoked += credentials::revoke_workspace(w.conn(), *id, now)?;
                // An agent elsewhere is not stopped by anybody: its run, and its turn, end here.
                if let Some(run) = runs::live(w.conn(), *id)?.filter(|run| !run.kind.is_managed()) {
                    fleet::end_run(w.cx(), &run, &Ended::stopped(StopWhy::Remove, None, None))?;
                }
            }
            Ok(WorkspaceRemoved { workspaces: ids, revoked })
        })
    }
}
