//! Sending a message to an agent: judged like everything else, queued durably, once per sender and message id.

use portcullis_kernel::{
    deed::MessageSend,
    id::{MessageId, WorkspaceId},
    refusal::Code,
    secret::SecretValue,
    subject::Principal,
};
use serde::{Deserialize, Serialize};

use crate::{
    act::{Cargo, Prepared, sealed::Act},
    caller::Caller,
    db::{Conn, DbError},
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
    tables::{
        messages::{self, NewMessage},
        operators, workspaces,
    },
    vault,
};

/// Longest text of a message or a reply, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Longest id that a sender may give a message, or a conversation, in characters.
pub const MESSAGE_ID_CHARS_MAX: usize = 128;
/// Most messages that may wait for one agent.
pub const QUEUE_MAX: i64 = 1_000;

/// Places in the queue that only humans take.
const QUEUE_KEPT: i64 = 100;
/// Most messages of one agent or service that may wait for another.
pub const QUEUE_EACH_MAX: i64 = 200;

/// A text on its way to an agent, redacted. Never part of a held plan.
pub struct MessageText {
    pub(crate) text: String,
    /// Keys of the receiver's values that a program said in it.
    pub(crate) said: Vec<String>,
}

impl Cargo for MessageText {
    fn values(&self) -> Vec<&SecretValue> {
        Vec::new()
    }

    fn from_values(_: Vec<SecretValue>) -> Option<Self> {
        None
    }
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageTaken {
    /// Its id.
    pub id: MessageId,
    /// To whom.
    pub workspace: WorkspaceId,
    /// How many wait before it.
    pub waiting: i64,
    /// It had been sent before.
    pub known: bool,
}

fn name_of(conn: &mut Conn, sender: Principal) -> Result<String, DbError> {
    Ok(match sender {
        Principal::Agent(home) => workspaces::find(conn, home)?.map_or_else(|| "agent".to_owned(), |row| row.name),
        Principal::Operator(id) => operators::find(conn, id)?.map_or_else(|| "operator".to_owned(), |row| row.email),
        Principal::Service(_) => "service".to_owned(),
        Principal::System(role) => role.as_str().to_owned(),
    })
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for MessageSend {
    type Cargo = MessageText;
    type Done = MessageTaken;

    fn prepare(&self, cx: &mut Cx<'_>, caller: &Caller, text: &MessageText) -> Result<Prepared, Fault> {
        let fits =
            |id: &str| (1..=MESSAGE_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        if !fits(&self.message_id) || !self.context_id.as_deref().is_none_or(fits) {
            let problem = "message_id and context_id are 1 to 128 visible ASCII characters";
            return Err(Fault::refused(Code::InvalidField, problem));
        }
        let text = &text.text;
        if text.is_empty() || text.len() > MESSAGE_BYTES_MAX || text.contains('\0') {
            return Err(Fault::refused(Code::InvalidField, "a message has 1 to 1048576 bytes and no NUL"));
        }
        if workspaces::find(cx.conn, self.workspace)?.is_none() {
            return Err(Fault::code(Code::WorkspaceNotFound));
        }
        let known = messages::known(cx.conn, self.workspace, caller.principal(), &self.message_id)?;
        if known.as_ref().is_some_and(|known| known.digest != self.digest) {
            return Err(Fault::code(Code::MessageIdReused));
        }
        if known.is_none() {
            let waiting = messages::queued(cx.conn, self.workspace)?;
            // Programs must not shut people out.
            let full = if caller.is_operator() {
                waiting >= QUEUE_MAX
            } else {
                waiting >= QUEUE_MAX - QUEUE_KEPT
                    || messages::queued_by(cx.conn, self.workspace, caller.principal())? >= QUEUE_EACH_MAX
            };
            if full {
                return Err(Fault::code(Code::QueueFull));
            }
        }
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, text: MessageText, _: &Prepared) -> Result<Spent<MessageTaken>, Fault> {
        permit.spend(|w, deed, caller| {
            let (sender, workspace) = (caller.principal(), deed.workspace);
            if let Some(known) = messages::known(w.conn(), workspace, sender, &deed.message_id)? {
                return Ok(MessageTaken { id: known.id, workspace, waiting: 0, known: true });
            }
            let id = MessageId::from_uuid(vault::uuid_v7(w.now().0));
            let waiting = messages::queued(w.conn(), workspace)?;
            let sender_name = name_of(w.conn(), sender)?;
            messages::insert(
                w,
                &NewMessage {
                    id,
                    workspace,
                    direction: "in",
                    sender,
                    sender_name: &sender_name,
                    message_id: &deed.message_id,
                    context_id: deed.context_id.as_deref(),
                    body: &text.text,
                    said: &text.said.join("\n"),
                    digest: &deed.digest,
                    state: "queued",
                },
            )?;
            Ok(MessageTaken { id, workspace, waiting, known: false })
        })
    }
}
