//! A message that somebody sends, as A2A writes it.

use a2a::{Part, PartContent, Role, SendMessageConfiguration, SendMessageRequest};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::Fault;

/// Most parts of one message.
const PARTS_MAX: usize = 1_000;
/// Members that are the content of a part: it has one of them.
const CONTENTS: [&str; 4] = ["text", "raw", "url", "data"];

/// What was sent.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) message_id: String,
    pub(super) text: String,
    pub(super) context_id: Option<String>,
    pub(super) task_id: Option<String>,
    /// Do not wait for the end.
    pub(super) immediate: bool,
    pub(super) history_length: Option<i32>,
}

/// Parameters of a method. The reason never quotes what stood there. Members that the protocol does not know are left
/// aside, as it asks for: a newer minor version may have added them.
pub(super) fn read<T: DeserializeOwned>(params: &Value) -> Result<T, Fault> {
    T::deserialize(params).map_err(|error| {
        let text = error.to_string();
        let missing = text.starts_with("missing field").then_some(text);
        Fault::invalid_params(missing.unwrap_or_else(|| "a parameter has the wrong type or form".to_owned()))
    })
}

/// An id; an empty text is none, which is how the protocol's own encoding writes it.
pub(super) fn some(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// How much history is asked for.
pub(super) fn history_length(length: Option<i32>) -> Result<Option<i32>, Fault> {
    match length {
        Some(length) if length < 0 => Err(Fault::invalid_params("`historyLength` is not negative")),
        length => Ok(length),
    }
}

/// There is one organisation, and no tenant.
pub(super) fn no_tenant(tenant: Option<String>) -> Result<(), Fault> {
    match some(tenant) {
        Some(_) => Err(Fault::invalid_params("there are no tenants; leave `tenant` out")),
        None => Ok(()),
    }
}

/// The parameters of SendMessage.
pub(super) fn incoming(params: &Value) -> Result<Incoming, Fault> {
    one_content_each(params)?;
    let SendMessageRequest { message, configuration, tenant, .. } = read(params)?;
    no_tenant(tenant)?;
    if message.message_id.is_empty() {
        return Err(Fault::invalid_params("`messageId` is needed: the same id again is the same message"));
    }
    if message.role != Role::User {
        return Err(Fault::invalid_params("`role` is ROLE_USER"));
    }
    let (immediate, length) = configuration.map_or(Ok((false, None)), configured)?;
    Ok(Incoming {
        message_id: message.message_id,
        text: text(&message.parts)?,
        context_id: some(message.context_id),
        task_id: some(message.task_id),
        immediate,
        history_length: length,
    })
}

fn configured(configuration: SendMessageConfiguration) -> Result<(bool, Option<i32>), Fault> {
    if configuration.task_push_notification_config.is_some() {
        return Err(Fault::no_push());
    }
    let modes = configuration.accepted_output_modes.unwrap_or_default();
    if !modes.is_empty() && !modes.iter().any(|mode| is_text(mode)) {
        return Err(Fault::content_type("agents answer with text; `acceptedOutputModes` has none"));
    }
    Ok((configuration.return_immediately.unwrap_or(false), history_length(configuration.history_length)?))
}

fn is_text(mode: &str) -> bool {
    let kind = mode.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "text" || kind == "*/*" || kind.starts_with("text/")
}

/// A part with two contents could be understood in two ways.
fn one_content_each(params: &Value) -> Result<(), Fault> {
    let parts = params.pointer("/message/parts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let contents = |part: &Value| CONTENTS.iter().filter(|name| part.get(name).is_some_and(|at| !at.is_null())).count();
    if parts.iter().any(|part| contents(part) > 1) {
        return Err(Fault::invalid_params("a part has one of `text`, `raw`, `url` and `data`"));
    }
    Ok(())
}

fn text(parts: &[Part]) -> Result<String, Fault> {
    if parts.is_empty() || parts.len() > PARTS_MAX {
        return Err(Fault::invalid_params("`parts` has 1 to 1000 parts"));
    }
    let mut texts = Vec::new();
    for part in parts {
        match &part.content {
            PartContent::Text(text) if part.media_type.as_deref().is_none_or(is_text) => texts.push(text.as_str()),
            _ => return Err(Fault::content_type("agents read text; send parts with `text`")),
        }
    }
    Ok(texts.join("\n"))
}
