//! The platform's tools for a model: asked for over MCP, offered in the form of the model's endpoint, and run when it
//! calls them. What a call may do is decided by the control plane, as for every other program.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agent::plane::Plane;
use crate::mcp::endpoint::{Endpoint, REVISION, STATELESS, Session};

/// Most calls in one answer of the model; further ones are told to be too many.
pub const CALLS_MAX: usize = 16;
/// Most of a result that a model is shown, in bytes.
const RESULT_BYTES_MAX: usize = 64 << 10;

/// A call of a tool, in the words of the model's endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ToolCall {
    /// The endpoint's id of it; the result names it.
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type", default = "function")]
    pub kind: String,
    /// What is called.
    pub function: Function,
}

fn function() -> String {
    "function".to_owned()
}

/// Name and arguments.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Function {
    /// The tool.
    pub name: String,
    /// A JSON object as text.
    pub arguments: String,
}

/// The tools of the agent's own workspace.
pub struct Tools {
    endpoint: Endpoint,
    offered: Vec<Value>,
}

impl Tools {
    /// Asks which tools there are.
    pub async fn of(plane: &Arc<Plane>) -> Result<Self, String> {
        let endpoint = plane.tools().map_err(|error| error.to_string())?;
        let mut tools = Self { endpoint, offered: Vec::new() };
        let listed = tools.ask("tools/list", json!({})).await?;
        let offer = |tool: &Value| {
            let about =
                json!({"name": tool["name"], "description": tool["description"], "parameters": tool["inputSchema"]});
            json!({"type": "function", "function": about})
        };
        tools.offered = listed["tools"].as_array().into_iter().flatten().map(offer).collect();
        Ok(tools)
    }

    /// What the model is offered.
    pub fn offered(&self) -> &[Value] {
        &self.offered
    }

    /// Runs a call and says what came of it, in words a model reads. It never fails: what went wrong is a result too.
    pub async fn run(&self, call: &ToolCall) -> String {
        let Ok(Value::Object(arguments)) = serde_json::from_str::<Value>(&call.function.arguments) else {
            return "REFUSED: the arguments are not a JSON object".to_owned();
        };
        match self.ask("tools/call", json!({"name": call.function.name, "arguments": arguments})).await {
            Ok(result) => {
                let texts = result["content"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
                let text = texts.collect::<Vec<_>>().join("\n");
                text[..crate::agent::boundary(&text, RESULT_BYTES_MAX)].to_owned()
            }
            Err(why) => format!("REFUSED: {why}"),
        }
    }

    async fn ask(&self, method: &str, mut params: Value) -> Result<Value, String> {
        params["_meta"] = json!({
            REVISION: STATELESS,
            "io.modelcontextprotocol/clientInfo": {"name": "portcullis-agent", "version": env!("CARGO_PKG_VERSION")},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let cannot = |why: &dyn std::fmt::Display| format!("the platform's tools cannot be reached: {why}");
        let mut frames = self.endpoint.post(&message, &Session::default()).await.map_err(|miss| cannot(&miss))?;
        while let Some(answer) = frames.next().await.map_err(|miss| cannot(&miss))? {
            if let Some(result) = answer.get("result") {
                return Ok(result.clone());
            }
            if let Some(error) = answer.get("error") {
                return Err(error["message"].as_str().unwrap_or("no reason given").to_owned());
            }
        }
        Err(cannot(&"no answer"))
    }
}
