//! The authority as agents and their supervisor see it: runs, turns, messages.

use std::collections::HashSet;

use portcullis_kernel::{
    id::{BootId, MessageId, TurnId, WorkspaceId},
    refusal::Code,
    secret::Environment,
    workspace::Status,
};

use crate::{
    actions::message::MessageText,
    authority::Authority,
    caller::Caller,
    db::Conn,
    fleet::{self, Ended, FilesGiven, Launching, UnitState},
    gate::{Cx, Meta},
    mailbox::{self, Claim, Look, TurnEnd},
    ownership, question,
    refusal::Refusal,
    tables::{
        runs,
        tasks::TaskFilter,
        turns,
        units::{self, RestlessUnit},
    },
    views::{self, CardView, MessagePage, MessageView, RunView, Stretch, TaskPage, TaskView, TurnView},
};

/// Every run that has not ended, as the supervisor finds it when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surviving {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Which.
    pub boot: BootId,
    /// Where.
    pub kind: portcullis_kernel::runtime::RuntimeKind,
}

/// Who needs a look after a commit.
#[derive(Debug, Clone, Default)]
pub struct Restless {
    /// Something is wanted that is not yet so. Of all servers.
    pub units: Vec<RestlessUnit>,
    /// A message waits and no turn runs.
    pub deliverable: Vec<WorkspaceId>,
}

/// Most ended runs that are looked at for what they left; older ones were forgotten before.
const FORGET_MAX: i64 = 100;

fn named(id: &str) -> Meta {
    Meta { request_id: id.to_owned(), ..Meta::default() }
}

/// What the supervisor does.
impl Authority {
    /// Every workspace whose agent this server runs.
    pub async fn units(&self) -> Result<Vec<WorkspaceId>, Refusal> {
        self.read(|conn, core| core.seat().map_or(Ok(Vec::new()), |seat| Ok(units::all(conn, seat)?))).await
    }

    /// Every external workspace of this server whose agent has registered.
    pub async fn external_units(&self) -> Result<Vec<WorkspaceId>, Refusal> {
        self.read(|conn, core| core.seat().map_or(Ok(Vec::new()), |seat| Ok(units::external(conn, seat)?))).await
    }

    /// Who needs a look after a commit.
    pub async fn restless(&self) -> Result<Restless, Refusal> {
        self.read(|conn, core| {
            let units = units::restless(conn, core.seat())?;
            Ok(Restless { units, deliverable: units::deliverable(conn)? })
        })
        .await
    }

    /// The turns that are open.
    pub async fn open_turns(&self) -> Result<HashSet<TurnId>, Refusal> {
        self.read(|conn, _| Ok(turns::all_running(conn)?.into_iter().map(|turn| turn.id).collect())).await
    }

    /// The runs that have not ended.
    pub async fn surviving(&self) -> Result<Vec<Surviving>, Refusal> {
        self.read(|conn, _| {
            let runs = runs::all_live(conn)?.into_iter();
            Ok(runs.map(|run| Surviving { workspace: run.workspace, boot: run.boot, kind: run.kind }).collect())
        })
        .await
    }

    /// Runs of a workspace that have ended, newest first, without the newest `keep`: what may be forgotten.
    pub async fn ended_runs(&self, workspace: WorkspaceId, keep: usize) -> Result<Vec<Surviving>, Refusal> {
        self.read(move |conn, _| {
            let runs = runs::list(conn, workspace, FORGET_MAX)?.into_iter().filter(|run| !run.live);
            let named = |run: runs::RunRow| Surviving { workspace, boot: run.boot, kind: run.kind };
            Ok(runs.skip(keep).map(named).collect())
        })
        .await
    }

    /// How a unit stands.
    pub async fn unit(&self, workspace: WorkspaceId) -> Result<Option<UnitState>, Refusal> {
        self.read(move |conn, core| fleet::state(conn, core, workspace)).await
    }

    /// Something that the supervisor does about a workspace: only of a workspace of its own, which is looked at in the
    /// transaction that does it.
    async fn supervise<T: Send + 'static>(
        &self,
        workspace: WorkspaceId,
        job: impl FnOnce(&mut Cx<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.write(named("supervisor"), move |cx| {
            ownership::fence(cx, workspace)?;
            job(cx)
        })
        .await
    }

    /// The same about a run.
    async fn supervise_run<T: Send + 'static>(
        &self,
        boot: BootId,
        job: impl FnOnce(&mut Cx<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.write(named("supervisor"), move |cx| {
            ownership::fence_run(cx, boot)?;
            job(cx)
        })
        .await
    }

    /// Records a run at a place, and releases its environment. Whoever calls this starts it there, or says that it ended.
    pub async fn begin_run(&self, workspace: WorkspaceId, place: String) -> Result<Launching, Refusal> {
        self.supervise(workspace, move |cx| fleet::begin(cx, workspace, &place)).await?
    }

    /// Records that a run ended. Saying it again changes nothing.
    pub async fn end_run(&self, boot: BootId, how: Ended) -> Result<(), Refusal> {
        self.supervise_run(boot, move |cx| fleet::ended(cx, boot, &how)).await
    }

    /// Shows what a unit is seen to be.
    pub async fn show_unit(&self, workspace: WorkspaceId, status: Status, reason: String) -> Result<(), Refusal> {
        self.supervise(workspace, move |cx| fleet::show(cx, workspace, status, &reason)).await
    }

    /// Stops the delivery of messages to a unit: from here on no turn of it begins.
    pub async fn drain_unit(&self, workspace: WorkspaceId) -> Result<(), Refusal> {
        self.supervise(workspace, move |cx| fleet::drain(cx, workspace)).await
    }

    /// Delivers messages again.
    pub async fn undrain_unit(&self, workspace: WorkspaceId) -> Result<(), Refusal> {
        self.supervise(workspace, move |cx| fleet::undrain(cx, workspace)).await
    }

    /// Notes that a run has what a generation wants, without a restart.
    pub async fn observe_run(&self, boot: BootId, generation: i64, files: Option<FilesGiven>) -> Result<(), Refusal> {
        self.supervise_run(boot, move |cx| fleet::observe(cx, boot, generation, files.as_ref())).await
    }

    /// Releases the files of a run anew.
    pub async fn release_files(&self, boot: BootId) -> Result<(Environment, FilesGiven), Refusal> {
        self.supervise_run(boot, move |cx| fleet::release_files(cx, boot)).await?
    }

    /// Puts the question whether to stop an agent before a human.
    /// `minutes` is how long its turn runs, if it is in one.
    pub async fn ask_about(&self, workspace: WorkspaceId, minutes: Option<i64>) -> Result<(), Refusal> {
        self.supervise(workspace, move |cx| question::ask(cx, workspace, minutes)).await
    }

    /// What was asked about a unit is moot: it is heard again.
    pub async fn settle_question(&self, workspace: WorkspaceId) -> Result<(), Refusal> {
        self.supervise(workspace, move |cx| question::settle(cx, workspace)).await
    }
}

/// What agents do.
impl Authority {
    /// An agent says that it is there. Returns the boot it stands for. The card is redacted before it is stored.
    pub async fn register(
        &self,
        meta: Meta,
        caller: &Caller,
        workspace: WorkspaceId,
        card: Option<serde_json::Value>,
        handoff: Option<bool>,
    ) -> Result<BootId, Refusal> {
        let card = match card {
            Some(card) => Some(self.redacted_document(workspace, card).await?.to_string()),
            None => None,
        };
        let caller = caller.clone();
        self.write(meta, move |cx| {
            mailbox::register(cx, &caller, workspace, card.as_deref(), handoff).map(|run| run.boot)
        })
        .await
    }

    /// What there is for an agent to do, without taking it. `None`: there is something; [`Authority::claim`] takes it.
    pub async fn peek(&self, caller: &Caller, workspace: WorkspaceId) -> Result<Option<Claim>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, core| mailbox::peek(&mut Look { conn, core }, &caller, workspace)).await
    }

    /// Takes the next message, or the turn that is open already.
    pub async fn claim(&self, meta: Meta, caller: &Caller, workspace: WorkspaceId) -> Result<Claim, Refusal> {
        let caller = caller.clone();
        self.write(meta, move |cx| mailbox::claim(cx, &caller, workspace)).await
    }

    /// What a heartbeat is answered: how things stand, and nothing taken.
    pub async fn pulse(&self, caller: &Caller, workspace: WorkspaceId) -> Result<(BootId, Claim), Refusal> {
        let caller = caller.clone();
        self.read(move |conn, core| mailbox::pulse(&mut Look { conn, core }, &caller, workspace)).await
    }

    /// Ends a turn. `text` is the reply, or the error; it is redacted before it is stored.
    pub async fn end_turn(
        &self,
        meta: Meta,
        caller: &Caller,
        workspace: WorkspaceId,
        turn: TurnId,
        end: TurnEnd,
        text: Option<String>,
    ) -> Result<(), Refusal> {
        let text = match text {
            Some(text) => Some(self.replied(workspace, turn, text).await?),
            None => None,
        };
        let caller = caller.clone();
        self.write(meta, move |cx| mailbox::end_turn(cx, &caller, workspace, turn, end, text.as_deref())).await
    }

    /// Keeps the note an agent leaves for its next run.
    pub async fn hand_off(
        &self,
        meta: Meta,
        caller: &Caller,
        workspace: WorkspaceId,
        note: String,
    ) -> Result<(), Refusal> {
        let (caller, note) = (caller.clone(), self.redacted(workspace, note).await?);
        self.write(meta, move |cx| mailbox::hand_off(cx, &caller, workspace, &note)).await
    }

    /// A word of an agent to the people.
    pub async fn notify(
        &self,
        meta: Meta,
        caller: &Caller,
        workspace: WorkspaceId,
        text: String,
    ) -> Result<MessageId, Refusal> {
        let (caller, text) = (caller.clone(), self.redacted(workspace, text).await?);
        self.write(meta, move |cx| mailbox::notify(cx, &caller, workspace, &text)).await
    }

    /// Takes a message back that nobody has taken.
    pub async fn cancel_message(&self, meta: Meta, caller: &Caller, id: MessageId) -> Result<(), Refusal> {
        let caller = caller.clone();
        self.write(meta, move |cx| mailbox::cancel(cx, &caller, id)).await
    }

    /// A text as it may be sent to a workspace, and the keyed digest of it as it came: see
    /// [`Authority::spoken`].
    pub async fn message_text(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        text: String,
    ) -> Result<(MessageText, String), Refusal> {
        let digest = crate::plaintext::message_digest(&self.core().keys(), &text);
        // A program that sends a guess must learn nothing from a reply that holds it.
        let program = !caller.is_operator() && caller.confined_to() != Some(workspace);
        let said = if program { self.values_in(workspace, &text).await? } else { Vec::new() };
        let text = self.redacted(workspace, text).await?;
        Ok((MessageText { text: self.spoken(caller, workspace, text).await?, said }, digest))
    }
}

/// What may be read of agents.
impl Authority {
    /// Messages of a workspace.
    pub async fn messages(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        stretch: Stretch,
        limit: i64,
    ) -> Result<MessagePage, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::message_page(conn, &caller, workspace, stretch, limit)).await
    }

    /// One message.
    pub async fn message(&self, caller: &Caller, id: MessageId) -> Result<MessageView, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::message_get(conn, &caller, id)).await
    }

    /// A message to a workspace's agent, as a task.
    pub async fn task(&self, caller: &Caller, workspace: WorkspaceId, id: MessageId) -> Result<TaskView, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::task_get(conn, &caller, workspace, id)).await
    }

    /// Messages to a workspace's agent, as tasks, the last changed first.
    pub async fn tasks(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        filter: TaskFilter,
    ) -> Result<TaskPage, Refusal> {
        let caller = caller.clone();
        self.read_heavy(move |conn, _| views::task_page(conn, &caller, workspace, &filter)).await
    }

    /// The conversation of a message whose sender named none. The same message is in the same one when it is sent again.
    pub fn context_of(&self, caller: &Caller, workspace: WorkspaceId, message_id: &str) -> String {
        let (keys, sender) = (self.core().keys(), caller.principal().to_string());
        crate::plaintext::context_id(&keys, &sender, &workspace.to_string(), message_id).to_string()
    }

    /// Turns of a workspace, newest first.
    pub async fn turns(&self, caller: &Caller, workspace: WorkspaceId, limit: i64) -> Result<Vec<TurnView>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::turn_list(conn, &caller, workspace, limit)).await
    }

    /// Runs of a workspace, newest first.
    pub async fn runs(&self, caller: &Caller, workspace: WorkspaceId, limit: i64) -> Result<Vec<RunView>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::run_list(conn, &caller, workspace, limit)).await
    }

    /// The restart context of the live run, as JSON.
    pub async fn restart_context(&self, caller: &Caller, workspace: WorkspaceId) -> Result<String, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::restart_context(conn, &caller, workspace)).await
    }

    /// What an agent says of itself, for those who see it.
    pub async fn discover(&self, caller: &Caller, workspace: WorkspaceId) -> Result<CardView, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::discover(conn, &caller, workspace)).await
    }

    /// Whether a caller may read the log of a workspace's agent, and which run's that is.
    pub async fn log_of(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        boot: Option<BootId>,
    ) -> Result<Surviving, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| log_of(conn, &caller, workspace, boot)).await
    }
}

fn log_of(
    conn: &mut Conn,
    caller: &Caller,
    workspace: WorkspaceId,
    boot: Option<BootId>,
) -> Result<Surviving, Refusal> {
    views::workspace_get(conn, caller, workspace)?;
    let run = match boot {
        Some(boot) => runs::find(conn, boot)?.filter(|run| run.workspace == workspace),
        None => runs::list(conn, workspace, 1)?.pop(),
    };
    let run = run.ok_or_else(|| Refusal::because(Code::NotFound, "no run has left a log here"))?;
    Ok(Surviving { workspace, boot: run.boot, kind: run.kind })
}
