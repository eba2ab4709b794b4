//! The built-in agent: registers, claims a message, lets its mind answer, ends the turn, and starts over.
//!
//! It runs as a child of whoever started it, who tells it everything by the environment; or by hand, as an external agent.
//! Absent on purpose: any decision about restarts. It is told to drain, writes its note, and waits to be stopped.

mod a2a;
pub mod args;
mod delivered;
mod external;
mod handoff;
mod mind;
pub(crate) mod plane;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use self::args::AgentArgs;
use self::delivered::{CONTEXT_BYTES_MAX, Delivered, Values};
use self::external::State;
use self::mind::Mind;
use self::plane::Plane;
use self::work::Work;
use crate::client;
use crate::context::Context;
use crate::environment::agent as environment;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::output::Output;
use crate::serve::stop_signal;

/// `portcullis agent`.
pub async fn run(context: &Context, args: &AgentArgs) -> Result<Exit, Error> {
    let output = context.output;
    // Before anything else: a stop that comes while starting is a stop.
    let stop = stop_signal()?;
    let mut stop = std::pin::pin!(stop);
    if context.has_token_file() {
        return Err(Error::usage("an agent's token is not given with --token-file")
            .hint("its runtime names it in PORTCULLIS_TOKEN_FILE; an external agent keeps it in --state"));
    }
    let mut mind = Mind::new(args, output)?;
    let base = context.url().ok_or_else(|| Error::usage("which control plane? give --url or PORTCULLIS_URL"))?;
    let base = client::parse_base(base)?;
    let place = tokio::select! {
        place = Place::find(args, &base, output) => place?,
        () = &mut stop => return Ok(Exit::Ok),
    };
    let plane = Arc::new(Plane::new(&base, place.workspace, &place.token_file, output)?);
    mind.works_through(&plane);
    let card = a2a::start(Arc::clone(&plane), mind.name(), args.listen, output).await?;
    let delivered = match &place.state {
        None => Delivered { values: Values::Environment, context: delivered_context(output) },
        Some(_) => Delivered { values: Values::Pulled(delivered::Bundle::default()), context: None },
    };
    let heartbeat = args.heartbeat_ms.map(Duration::from_millis);
    let external = place.state.is_some();
    let mut work = Work::new(plane, mind, delivered, place.state, heartbeat, output);
    let ended = tokio::select! {
        ended = work.run(&card) => Some(ended),
        () = &mut stop => None,
    };
    match ended {
        Some(Err(error)) if external && error.exit == Exit::Denied => {
            Err(error.hint("to enrol again, remove the directory of `--state` and ask for a new code"))
        }
        Some(ended) => ended,
        None => Ok(work.stopped().await),
    }
}

/// Where this agent finds itself.
struct Place {
    workspace: String,
    token_file: PathBuf,
    /// External agents only.
    state: Option<State>,
}

impl Place {
    async fn find(args: &AgentArgs, base: &Url, output: Output) -> Result<Self, Error> {
        let (Some(directory), Some(workspace)) = (&args.state, &args.workspace) else {
            let missing = |name: &str| {
                Error::usage(format!("{name} is not set"))
                    .hint("by hand, an agent is external: give --url, --workspace, --state and --enrol-code-file")
            };
            let workspace = environment::workspace().ok_or_else(|| missing("WORKSPACE_ID"))?;
            let token_file = environment::token_file().ok_or_else(|| missing(environment::TOKEN_FILE))?;
            return Ok(Self { workspace, token_file, state: None });
        };
        // Whoever starts an agent knows the network between them; whoever types a URL may be wrong about it.
        client::require_private(base)?;
        let state = State::open(directory)?;
        state.enrol(base, workspace, args.enrol_code_file.as_deref(), output).await?;
        Ok(Self { workspace: workspace.clone(), token_file: state.token_file(), state: Some(state) })
    }
}

/// The last place not after this many bytes where a text may be cut.
fn boundary(text: &str, bytes: usize) -> usize {
    (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// The restart context that was put beside this agent. An agent works without it, and says that it does.
fn delivered_context(output: Output) -> Option<String> {
    let file = environment::context_file()?;
    let context = match Hidden::read(&file) {
        Ok(text) if text.reveal().len() <= CONTEXT_BYTES_MAX => return Some(text.reveal().trim().to_owned()),
        Ok(_) => "it is too long".to_owned(),
        Err(error) => error.to_string(),
    };
    output.note(&format!("agent: no restart context: {context}"));
    None
}
