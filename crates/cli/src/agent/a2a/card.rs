//! What the agent says of itself when it registers. Where it is reached is not among it: that is the control plane's to say.

use serde_json::{Value, json};

/// The card of an agent with this mind.
pub fn card(mind: &str) -> Value {
    let does = match mind {
        "exec" => "Answers a message by running a command.",
        "model" => "Answers a message with a language model.",
        _ => "Answers a message with its own text.",
    };
    json!({
        "name": format!("Portcullis agent ({mind})"),
        "description": format!("The built-in agent of Portcullis. {does}"),
        "version": env!("CARGO_PKG_VERSION"),
        "skills": [{"id": mind, "name": mind, "description": does, "tags": ["portcullis", mind]}],
    })
}
