//! How fast pages are, as ratios within one run: few beside many. Nothing is asserted; `cargo xtask bench console` prints it.

use std::{fmt::Write, time::Duration};

use serde_json::{Value, json};

use crate::{
    kit::{fleet::text, want},
    page::Page,
    scene::Scene,
};

/// Workspaces of a small organisation and of a large one, the root left out.
const FEW: usize = 10;
const MANY: usize = 500;
/// Events that a long log has at least.
const EVENTS: usize = 10_000;
/// Requests at once.
const AT_ONCE: usize = 40;

/// What a browser has loaded: bytes on the way, and when something was there to be seen.
const LOADED: &str = r"
const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
const seen = performance.getEntriesByName('first-contentful-paint')[0];
return {bytes: all.reduce((sum, one) => sum + one.transferSize, 0), seen: seen ? seen.startTime : 0};
";

/// When so many of something were there, in milliseconds since the page was asked for; null until then.
const THERE: &str =
    "return document.querySelectorAll(arguments[0]).length >= arguments[1] ? Math.round(performance.now()) : null";

/// Whether everything was listed.
const AT_ITS_END: &str = "return document.querySelector('main').innerText.includes('This is the beginning.')";

/// Scrolls from the top through the page, frame by frame, and tells how long frames took.
const SCROLL: &str = r"
const done = arguments[arguments.length - 1];
scrollTo(0, 0);
const frames = [];
let last = null;
const step = (now) => {
  if (last !== null) frames.push(now - last);
  last = now;
  if (frames.length === 120) {
    frames.sort((a, b) => a - b);
    done({median: frames[60], p95: frames[114], longest: frames[119]});
    return;
  }
  scrollBy(0, 300);
  requestAnimationFrame(step);
};
requestAnimationFrame(step);
";

/// Takes all of them, and tells them as rows of a table.
pub fn take(scene: &mut Scene) -> String {
    let page = &scene.page;
    let mut rows = String::new();
    let mut row = |what: &str, figure: String| {
        let _ = writeln!(rows, "| {what} | {figure} |");
    };
    page.open("/console");
    page.control("sign-in.email");
    let loaded = page.ask(LOADED, json!([]));
    row("first view, on its way", format!("{:.0} KiB", number(&loaded["bytes"]) / 1024.0));
    row("first view, until something is seen", format!("{:.0} ms", number(&loaded["seen"])));
    scene.sign_in();

    workspaces(scene, FEW);
    let few = cards(page, FEW + 1);
    workspaces(scene, MANY - FEW);
    let many = cards(page, MANY + 1);
    row(
        &format!("map of {} beside {}, until every card is there", MANY + 1, FEW + 1),
        format!("{many:.0} ms beside {few:.0} ms ({:.1} times)", many / few),
    );

    page.open("/console/audit");
    page.until(|| (page.count(".event") >= 100).then_some(()), || "no events".to_owned());
    // Before anything older has come.
    let short = page.ask_later(SCROLL, json!([]));
    events(scene);
    page.open("/console/audit");
    // Rows far off the screen are not there: that all of it was asked for is seen at its end.
    while page.ask(AT_ITS_END, json!([])) != true {
        page.ask("scrollTo(0, document.body.scrollHeight)", json!([]));
        std::thread::sleep(Duration::from_millis(20));
    }
    let long = page.ask_later(SCROLL, json!([]));
    for figure in ["median", "p95", "longest"] {
        let (few, many) = (number(&short[figure]), number(&long[figure]));
        row(
            &format!("a frame while scrolling {EVENTS} events beside some hundred, {figure}"),
            format!("{many:.1} ms beside {few:.1} ms"),
        );
    }
    rows
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

/// How long a map of so many takes, from the address to the last card.
fn cards(page: &Page, count: usize) -> f64 {
    page.open("/console");
    let look = || page.ask(THERE, json!([".map-card", count])).as_f64();
    page.until(look, || format!("not {count} cards"))
}

/// So many workspaces more, in teams.
fn workspaces(scene: &Scene, count: usize) {
    let fleet = scene.fleet();
    let team = fleet.create(&format!("team of {count}"), json!("external"), None);
    let names: Vec<usize> = (1..count).collect();
    let (owner, url) = (fleet.owner(), fleet.url());
    for part in names.chunks(AT_ONCE) {
        fleet.run(async {
            let mut asked = tokio::task::JoinSet::new();
            for n in part {
                // Teams of some ten each.
                let body = json!({"name": format!("agent {count} {n}"), "runtime": "external",
                    "parent_id": if n % 10 == 0 { None } else { Some(&team) }});
                let (owner, url) = (owner.clone(), url.clone());
                asked.spawn(async move { want(201, owner.post(&url, "/workspaces", body).await) });
            }
            asked.join_all().await;
        });
    }
}

/// Events enough for a long log: each secret that is set is one.
fn events(scene: &Scene) {
    let fleet = scene.fleet();
    let all = fleet.get("/workspaces");
    let id =
        text(&all.as_array().expect("a list").iter().find(|one| one["kind"] != "platform").expect("one").clone(), "id");
    let (owner, url) = (fleet.owner(), fleet.url());
    let names: Vec<usize> = (0..EVENTS).collect();
    for part in names.chunks(AT_ONCE) {
        fleet.run(async {
            let mut asked = tokio::task::JoinSet::new();
            for n in part {
                let body = json!({"key": format!("KEY_{}", n % 100), "value": format!("value number {n}")});
                let (owner, url, path) = (owner.clone(), url.clone(), format!("/workspaces/{id}/secrets"));
                asked.spawn(async move { want(200, owner.post(&url, &path, body).await) });
            }
            asked.join_all().await;
        });
    }
}
