//! The web console in a real browser, on the real binary: what a person does, one scenario a test. The last test is that no
//! control exists which no scenario uses.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod control;
mod keys;
#[path = "../kit/mod.rs"]
mod kit;
mod measures;
mod organisation;
mod page;
mod registry;
mod scenarios;
mod scene;
mod scripts;
mod walk;
mod webdriver;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use libtest_mimic::{Arguments, Failed, Trial};
use portcullis_authority::testkit_db::{TestDb, databases, fresh_dir};

use scenarios::{SCENARIOS, Scenario, everywhere};
use scene::{House, Scene, Tools};
use webdriver::Driver;

/// How many browsers run at once.
const PARALLEL_MAX: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(PARALLEL_MAX).min(PARALLEL_MAX));
    std::panic::set_hook(Box::new(|info| PANIC.with(|panic| *panic.borrow_mut() = info.to_string())));
    let home = fresh_dir();
    let outcome = run(&arguments, &home);
    // It is among the temporary files anyway.
    let _ = std::fs::remove_dir_all(&home);
    outcome
}

fn run(arguments: &Arguments, home: &Path) -> ExitCode {
    if arguments.list {
        // Nothing is executed: these are names.
        let names = SCENARIOS.iter().map(|scenario| Trial::test(scenario.name, || Ok(())));
        return libtest_mimic::run(arguments, names.chain(registered()).collect()).exit_code();
    }
    let Some((driver, browser)) = driver(home) else {
        return libtest_mimic::run(arguments, Vec::new()).exit_code();
    };
    let tools = Arc::new(Tools { driver: driver.url().to_owned(), browser, axe: axe() });
    if let Some(folder) = pictures() {
        let trial = Trial::test("pictures", move || {
            play_on("pictures", &tools, House::Running, TestDb::sqlite(), |scene| everywhere::pictures(scene, &folder))
        });
        return libtest_mimic::run(arguments, vec![trial]).exit_code();
    }
    if let Some(file) = measures_file() {
        let trial = Trial::test("measures", move || {
            play_on("measures", &tools, House::Claimed, TestDb::sqlite(), |scene| {
                std::fs::write(&file, measures::take(scene)).expect("a file for the measures");
            })
        });
        return libtest_mimic::run(arguments, vec![trial]).exit_code();
    }
    let trial = |scenario: &'static Scenario| {
        let tools = Arc::clone(&tools);
        Trial::test(scenario.name, move || play(scenario, &tools))
    };
    let played = libtest_mimic::run(arguments, SCENARIOS.iter().map(trial).collect());
    if played.has_failed() || played.num_filtered_out > 0 {
        return played.exit_code();
    }
    libtest_mimic::run(arguments, registered()).exit_code()
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
    databases.into_iter().try_for_each(|db| play_on(scenario.name, tools, scenario.house, db, scenario.play))
}

fn play_on(name: &str, tools: &Tools, house: House, db: TestDb, play: impl FnOnce(&mut Scene)) -> Result<(), Failed> {
    let mut scene = Scene::new(tools, house, db);
    let ended = catch_unwind(AssertUnwindSafe(|| play(&mut scene)));
    // The same again and again is one fault.
    let complaints: BTreeSet<String> = scene.faults().into_iter().collect();
    let panic = ended.is_err().then(last_panic);
    let faults: Vec<String> = panic.into_iter().chain(complaints).collect();
    if faults.is_empty() {
        return Ok(());
    }
    let about = scene.describe(Path::new(env!("CARGO_TARGET_TMPDIR")), &name.replace("::", "-"));
    Err(format!("{name}: {}\n{about}", faults.join("\n")).into())
}

thread_local! {
    /// Words and place of the last panic of this thread, to be told with everything else that is known.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fn last_panic() -> String {
    PANIC.with(|panic| panic.take())
}

/// Where measures are wanted, and nothing else.
#[expect(clippy::disallowed_methods, reason = "the command that measures says where")]
fn measures_file() -> Option<PathBuf> {
    std::env::var_os("PORTCULLIS_TEST_MEASURES").map(PathBuf::from)
}

/// Where pictures of all pages are wanted, and nothing else.
#[expect(clippy::disallowed_methods, reason = "the command that makes pictures says where")]
fn pictures() -> Option<PathBuf> {
    std::env::var_os("PORTCULLIS_TEST_PICTURES").map(PathBuf::from)
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
