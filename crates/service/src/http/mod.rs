//! Handlers, one noun per file, and the one list of routes.

/// A route from its id, method, path and summary, and its handler.
macro_rules! route {
    ($route:expr, $handler:expr) => {{
        let (id, method, path, summary) = $route;
        $crate::operation::Operation::new(id, method, path, summary, $handler)
    }};
}

mod agents;
mod approvals;
mod audit;
pub(crate) mod messages;
mod operators;
mod passkeys;
mod secrets;
mod session;
mod system;
mod tokens;
mod values;
mod what_if;
mod workspaces;

use crate::operation::Operation;

/// Every route there is.
pub fn registry() -> Vec<Operation> {
    let mut all = Vec::new();
    for part in [
        system::operations(),
        session::operations(),
        passkeys::operations(),
        workspaces::operations(),
        agents::operations(),
        messages::operations(),
        crate::a2a::operations(),
        secrets::operations(),
        values::operations(),
        tokens::operations(),
        approvals::operations(),
        operators::operations(),
        what_if::operations(),
        audit::operations(),
        crate::mcp::operations(),
        crate::console::operations(),
    ] {
        all.extend(part);
    }
    all
}
