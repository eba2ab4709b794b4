//! The official MCP conformance suite against the real binary, in both revisions of the protocol, through a proxy that shows
//! the token which the suite cannot send. What the suite calls by name are fixtures on the product's own stack; what it can
//! ask of any server is asked of the product itself.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use kit::{ADMIN, Ended, Server, clients::Clients, proxy::Proxy, ran};
use portcullis_authority::testkit_db::TestDb;

/// Where the fixtures are.
const FIXTURES: &str = "/conformance/mcp";
/// Where the product is.
const PRODUCT: &str = "/mcp";

/// A server, the door to it, and the suite.
struct Judged {
    clients: Clients,
    _server: Server,
    proxy: Proxy,
    /// In which the proxy runs.
    _runtime: tokio::runtime::Runtime,
    db: TestDb,
}

fn judged() -> Option<Judged> {
    // No scenario comes near the database: one engine says it all.
    let db = TestDb::sqlite();
    let clients = kit::clients::clients(&db.data_dir)?;
    let server = Server::start(kit::serve(&db));
    let runtime = kit::runtime();
    let proxy = runtime.block_on(Proxy::start(&server.url, ADMIN));
    Some(Judged { clients, _server: server, proxy, _runtime: runtime, db })
}

impl Judged {
    fn suite(&self, path: &str, arguments: &[&str]) -> Ended {
        let mut command = self.clients.conformance();
        command.args(["server", "--url", &format!("{}{path}", self.proxy.url)]).args(arguments);
        command.arg("-o").arg(self.db.data_dir.join("results"));
        ran(command)
    }

    /// Runs everything that a revision requires, and says how many checks passed.
    #[track_caller]
    fn requirements(&self, revision: &str) -> usize {
        let ended = self.suite(FIXTURES, &["--requirements", revision]).exits(0);
        let failed: Vec<&str> = ended.out.lines().filter(|line| line.trim_start().starts_with('✗')).collect();
        assert!(failed.is_empty(), "{failed:#?}\n{}", ended.out);
        let total = ended.out.lines().find_map(|line| line.strip_prefix("Total: ")).expect("a total");
        let (passed, rest) = total.split_once(" passed, ").expect("a number");
        assert_eq!(rest, "0 failed", "{}", ended.out);
        passed.parse().expect("a number")
    }
}

/// Also those that the suite does not score: tasks, custom headers.
#[test]
fn every_scenario_of_the_stateless_revision_passes() {
    let Some(judged) = judged() else { return };
    assert_eq!(judged.requirements("2026-07-28"), 196);
}

#[test]
fn every_scenario_of_the_revision_with_sessions_passes() {
    let Some(judged) = judged() else { return };
    assert_eq!(judged.requirements("2025-11-25"), 83);
}

/// What the suite can ask of a server that has none of its fixtures.
#[test]
fn the_product_passes_what_needs_no_fixtures() {
    let Some(judged) = judged() else { return };
    let stateless = [
        "tools-list",
        "resources-list",
        "sep-2164-resource-not-found",
        "server-sse-multiple-streams",
        "input-required-result-unsupported-methods",
        "dns-rebinding-protection",
        "http-header-validation",
    ];
    let with_sessions = [
        "server-initialize",
        "ping",
        "tools-list",
        "resources-list",
        "server-sse-multiple-streams",
        "server-session-lifecycle",
        "dns-rebinding-protection",
    ];
    let revisions = [("2026-07-28", &stateless), ("2025-11-25", &with_sessions)];
    for (revision, scenario) in revisions.iter().flat_map(|(revision, all)| all.iter().map(move |one| (revision, one)))
    {
        let ended = judged.suite(PRODUCT, &["--scenario", scenario, "--spec-version", revision]).exits(0);
        // A scenario that does not apply ends well too, and checks nothing.
        let passed = ended.out.lines().find_map(|line| line.strip_prefix("Passed: ")).expect("a result");
        assert!(passed.ends_with("0 failed, 0 warnings") && !passed.starts_with("0/"), "{}", ended.out);
    }
}
