//! The web console in a real browser, on the real binary: what a person does, one scenario a test. The last test is that no
//! control exists which no scenario uses.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod control;
mod keys;
#[path = "../kit/mod.rs"]
mod kit;
mod page;
mod registry;
mod scenarios;
mod scene;
mod scripts;
mod webdriver;

use std::{
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use libtest_mimic::{Arguments, Failed, Trial};
use portcullis_authority::testkit_db::{TestDb, databases, fresh_dir};

use scenarios::{SCENARIOS, Scenario};
use scene::{Scene, Tools};
use webdriver::Driver;

/// How many browsers run at once.
const PARALLEL_MAX: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(PARALLEL_MAX).min(PARALLEL_MAX));
    let home = fresh_dir();
    let outcome = run(&arguments, &home);
    // It is among the temporary files anyway.
    let _ = std::fs::remove_dir_all(&home);
    outcome
}

fn run(arguments: &Arguments, home: &Path) -> ExitCode {
    let driver = if arguments.list { None } else { driver(home) };
    let (trials, registered): (Vec<Trial>, Vec<Trial>) = match &driver {
        Some((driver, browser)) => {
            let tools = Tools { driver: driver.url().to_owned(), browser: browser.clone(), axe: axe() };
            let tools = Arc::new(tools);
            let trial = |scenario: &'static Scenario| {
                let tools = Arc::clone(&tools);
                Trial::test(scenario.name, move || play(scenario, &tools))
            };
            (SCENARIOS.iter().map(trial).collect(), registered())
        }
        // Nothing is executed: these are names.
        None if arguments.list => {
            (SCENARIOS.iter().map(|scenario| Trial::test(scenario.name, || Ok(()))).collect(), registered())
        }
        None => Default::default(),
    };
    let played = libtest_mimic::run(arguments, trials);
    if played.has_failed() || played.num_filtered_out > 0 {
        return played.exit_code();
    }
    libtest_mimic::run(arguments, registered).exit_code()
}

/// Only after everything was played can it be said what nobody used.
fn registered() -> Vec<Trial> {
    vec![
        Trial::test("registry::names_are_read_as_they_are_written", || Ok(registry::reads_names()?)),
        Trial::test("registry::every_control_is_used_by_some_scenario", || Ok(registry::compare()?)),
    ]
}

/// Plays a scenario on each of its engines.
fn play(scenario: &Scenario, tools: &Tools) -> Result<(), Failed> {
    let databases = if scenario.everywhere { databases() } else { vec![TestDb::sqlite()] };
    databases.into_iter().try_for_each(|db| play_on(scenario, tools, db))
}

fn play_on(scenario: &Scenario, tools: &Tools, db: TestDb) -> Result<(), Failed> {
    let mut scene = Scene::new(tools, scenario.house, db);
    let ended = catch_unwind(AssertUnwindSafe(|| (scenario.play)(&mut scene)));
    let mut faults = scene.faults();
    if let Err(panic) = ended {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        faults.insert(0, words.to_owned());
    }
    if faults.is_empty() {
        return Ok(());
    }
    let picture = scenario.name.replace("::", "-");
    let about = scene.describe(Path::new(env!("CARGO_TARGET_TMPDIR")), &picture);
    Err(format!("{}: {}\n{about}", scenario.name, faults.join("\n")).into())
}

/// The driver and the browser, or nothing where there are none and none are required.
#[expect(clippy::disallowed_methods, reason = "the machine says where its programs are, and what is required")]
fn driver(home: &Path) -> Option<(Driver, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &str| std::env::split_paths(&path).map(|place| place.join(name)).find(|file| file.is_file());
    if let (Some(program), Some(browser)) = (find("chromedriver"), find("chromium")) {
        return Some((Driver::start(&program, home), browser));
    }
    assert!(std::env::var_os("PORTCULLIS_TEST_REQUIRE_ALL").is_none(), "no chromium or no chromedriver in PATH");
    // Not worth failing for: only the note would be lost.
    let _ = writeln!(
        std::io::stderr(),
        "skipped: no chromium or no chromedriver in PATH; `cargo xtask clients` installs them"
    );
    None
}

/// The source of axe-core, or nothing where there is none and none is required.
#[expect(clippy::disallowed_methods, reason = "the test command tells its tests where the clients are")]
fn axe() -> Option<Arc<str>> {
    let file = std::env::var_os("PORTCULLIS_TEST_CLIENTS")
        .map(|folder| Path::new(&folder).join("axe/node_modules/axe-core/axe.min.js"));
    let source = file.and_then(|file| std::fs::read_to_string(file).ok());
    let required = std::env::var_os("PORTCULLIS_TEST_REQUIRE_ALL").is_some();
    assert!(source.is_some() || !required, "no axe-core in PORTCULLIS_TEST_CLIENTS");
    source.map(Arc::from)
}
