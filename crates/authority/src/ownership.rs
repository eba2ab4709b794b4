//! Which server supervises which workspace (decision 0016).
//!
//! A server that runs agents has a row and raises a number in it, again and again: its beat. Whoever sees a beat that has
//! not moved for [`LEASE`], by its own clock and while its own beats came through, may take what that server supervised.
//! Each start of a server is a new epoch. The supervisor writes nothing about a workspace that is not its server's, in its
//! epoch, in the transaction that writes: a server that was stopped in its tracks and goes on later has no say any more.

use std::time::Duration;

use portcullis_kernel::{
    id::{BootId, ServerId, WorkspaceId},
    refusal::Code,
};
use serde_json::json;

use crate::{
    authority::Authority,
    core::Core,
    db::{Conn, DbError},
    fleet::{self, Ended},
    gate::{Cx, Meta},
    refusal::Refusal,
    tables::{owners, runs, servers},
};

/// How long a beat may stand still before what its server supervised is free. A server that has not beaten for so long
/// does nothing to agents until it has.
pub const LEASE: Duration = Duration::from_secs(6);

/// This process as a server: which, and in which of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) server: ServerId,
    pub(crate) epoch: i64,
}

/// What became of a beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// It was noted. The other servers, each with the number of its last beat.
    Noted(Vec<(ServerId, i64)>),
    /// Another process has begun a life of this server: a copy of its data directory. This one supervises nothing more.
    Superseded,
    /// Nobody knows this server any more: it was silent for very long, by somebody's clock, and supervised nothing. It may
    /// begin a new life.
    Forgotten,
}

/// A pulse that a server heard for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    /// Whose agent.
    pub workspace: WorkspaceId,
    /// Which run.
    pub boot: BootId,
    /// How often something was heard of it.
    pub heard: i64,
    /// It said that it is in trouble.
    pub troubled: bool,
}

fn not_ours() -> Refusal {
    Refusal::because(Code::Conflict, "another server supervises this workspace")
}

fn named() -> Meta {
    Meta { request_id: "ownership".to_owned(), ..Meta::default() }
}

fn words(reaches: &[String]) -> String {
    json!(reaches).to_string()
}

/// Whether this server supervises a workspace.
pub(crate) fn ours(conn: &mut Conn, core: &Core, workspace: WorkspaceId) -> Result<bool, DbError> {
    let owner = owners::find(conn, workspace)?;
    Ok(core.seat().is_some_and(|seat| owner == Some((seat.server, seat.epoch))))
}

/// Refuses unless this server supervises the workspace, in the transaction of the writer.
pub(crate) fn fence(cx: &mut Cx<'_>, workspace: WorkspaceId) -> Result<(), Refusal> {
    if ours(cx.conn, cx.core, workspace)? { Ok(()) } else { Err(not_ours()) }
}

/// The same for the workspace of a run. One that is over concerns nobody.
pub(crate) fn fence_run(cx: &mut Cx<'_>, boot: BootId) -> Result<(), Refusal> {
    match runs::find(cx.conn, boot)? {
        Some(run) if run.live => fence(cx, run.workspace),
        _ => Ok(()),
    }
}

impl Authority {
    /// Whether other servers may be at work on the same organisation. SQLite is one server's own.
    pub fn has_company(&self) -> bool {
        matches!(self.target(), crate::db::Target::Postgres(_))
    }

    /// Begins a life of a server that runs agents: what was its own is its own again, whatever it reaches. `reaches` are the
    /// kinds of runtimes it has, and names of the places where it reaches what runs there.
    pub async fn enlist(&self, server: ServerId, reaches: &[String]) -> Result<(), Refusal> {
        let reaches = words(reaches);
        let seat = self
            .write(named(), move |cx| {
                let epoch = servers::enlist(cx.conn, server, &reaches, cx.now.0)?;
                if cx.conn.is_postgres() {
                    owners::renew(cx.conn, server, epoch)?;
                } else {
                    owners::take_all(cx.conn, server, epoch)?;
                }
                Ok(Seat { server, epoch })
            })
            .await?;
        // After the commit: nobody may rely on an epoch that was not stored.
        self.core().take_seat(seat);
        Ok(())
    }

    /// A sign of life.
    pub async fn beat(&self, reaches: &[String]) -> Result<Beat, Refusal> {
        let reaches = words(reaches);
        self.write(named(), move |cx| {
            let seat = cx.core.seat().ok_or_else(not_ours)?;
            if !servers::beat(cx.conn, seat.server, seat.epoch, &reaches, cx.now.0)? {
                let known = servers::epoch(cx.conn, seat.server)?.is_some();
                return Ok(if known { Beat::Superseded } else { Beat::Forgotten });
            }
            let others = servers::others(cx.conn, seat.server)?;
            Ok(Beat::Noted(others.into_iter().map(|other| (other.id, other.beat)).collect()))
        })
        .await
    }

    /// The last sign of life of a server that stops in order: its lease runs from here, so that its next start finds its
    /// agents still its own.
    pub async fn last_beat(&self) -> Result<(), Refusal> {
        let Some(seat) = self.core().seat().filter(|_| self.has_company()) else { return Ok(()) };
        self.write(named(), move |cx| {
            if let Some(row) = servers::find(cx.conn, seat.server)? {
                servers::beat(cx.conn, seat.server, seat.epoch, &words(&row.reaches), cx.now.0)?;
            }
            Ok(())
        })
        .await
    }

    /// Whether there is a workspace that nobody supervises, or that one of these servers did.
    pub async fn is_claimable(&self, gone: Vec<(ServerId, i64)>) -> Result<bool, Refusal> {
        self.read(move |conn, _| {
            let mut found = !owners::without(conn)?.is_empty();
            for (server, _) in gone {
                found = found || !owners::of(conn, server)?.is_empty();
            }
            Ok(found)
        })
        .await
    }

    /// Takes what nobody supervises, and what the servers that are `gone` did, unless they have beaten since this beat. Leaves what a server that lives can do and
    /// this one cannot. A run in a place that is not reached from here is ended as lost: its token dies with it, so what
    /// may still run there has no power. Returns how many were taken.
    pub async fn take_workspaces(&self, gone: Vec<(ServerId, i64)>) -> Result<usize, Refusal> {
        self.write(named(), move |cx| claim(cx, &gone)).await
    }

    /// Notes for their supervisors that agents were heard here: those of other servers' workspaces.
    pub async fn relay(&self, heard: Vec<(BootId, bool)>) -> Result<(), Refusal> {
        let elsewhere = self
            .read(move |conn, core| {
                let found = owners::elsewhere(conn, core.seat().map(|seat| seat.server))?;
                Ok(heard.into_iter().filter(|(boot, _)| found.contains(boot)).collect::<Vec<_>>())
            })
            .await?;
        if elsewhere.is_empty() {
            return Ok(());
        }
        self.write(named(), move |cx| {
            elsewhere.iter().try_for_each(|(boot, troubled)| owners::heard(cx.conn, *boot, *troubled))?;
            Ok(())
        })
        .await
    }

    /// What other servers have heard of this server's agents.
    pub async fn relayed(&self) -> Result<Vec<Relayed>, Refusal> {
        self.read(|conn, core| {
            let Some(seat) = core.seat() else { return Ok(Vec::new()) };
            let heard = owners::heard_of(conn, seat.server, seat.epoch)?.into_iter();
            let read = |(workspace, boot, heard, troubled)| Relayed { workspace, boot, heard, troubled };
            Ok(heard.map(read).collect())
        })
        .await
    }
}

fn claim(cx: &mut Cx<'_>, gone: &[(ServerId, i64)]) -> Result<usize, Refusal> {
    let seat = cx.core.seat().ok_or_else(not_ours)?;
    let here = servers::find(cx.conn, seat.server)?.ok_or_else(not_ours)?.reaches;
    if servers::epoch(cx.conn, seat.server)? != Some(seat.epoch) {
        return Err(not_ours());
    }
    let others = servers::others(cx.conn, seat.server)?;
    // One that has beaten meanwhile, or was started again, lives.
    let (gone, alive): (Vec<_>, Vec<_>) = others.iter().partition(|other| gone.contains(&(other.id, other.beat)));
    let mut free: Vec<_> = owners::without(cx.conn)?.into_iter().map(|free| (None, free)).collect();
    for server in gone {
        free.extend(owners::of(cx.conn, server.id)?.into_iter().map(|free| (Some(server.id), free)));
    }
    let mut taken = 0;
    for (from, free) in free {
        let needed = free.boot.and(free.place.as_ref()).unwrap_or(&free.kind);
        let reached = here.contains(needed);
        if !reached && alive.iter().any(|other| other.reaches.contains(needed)) {
            continue;
        }
        if let (Some(boot), Some(place), false) = (free.boot, &free.place, reached)
            && let Some(run) = runs::find(cx.conn, boot)?.filter(|run| run.live)
        {
            fleet::end_run(cx, &run, &Ended::unreachable(place))?;
        }
        owners::set(cx.conn, free.workspace, seat.server, seat.epoch)?;
        if let Some(from) = from {
            let detail = json!({"from_server": from, "to_server": seat.server});
            fleet::record(cx, "workspace.taken_over", free.workspace, detail)?;
        }
        taken += 1;
    }
    Ok(taken)
}
