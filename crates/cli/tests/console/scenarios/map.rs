//! The organisation as a map: who is there, how they are, and moving about.

use std::{io::Write, time::Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    kit::{
        ADMIN, Actor, PASSWORD,
        fleet::{Fleet, HOLDS, OWNER, exec, list, text},
        want,
    },
    page::{Look, Page, done},
    scene::Scene,
};

/// Workspaces of a large organisation, its root not counted, and how many are made at once.
const MANY: usize = 500;
const AT_ONCE: usize = 25;

/// How often the map must look the same to be at rest.
const LOOKS: usize = 8;

/// The card of a workspace.
fn card(id: &str) -> String {
    format!("[data-card=\"{id}\"]")
}

/// How a name is found in a card's full description.
#[track_caller]
fn described(page: &Page, id: &str) -> String {
    page.control_in(&card(id), "map.card").label().replace('\n', " ")
}

/// Waits until the card's description has these words.
#[track_caller]
fn card_says(page: &Page, id: &str, words: &str) {
    page.until(
        || described(page, id).contains(words).then_some(()),
        || format!("not {words}: {}", described(page, id)),
    );
}

/// Width of the whole picture on the screen.
/// Where the whole picture is on the screen: its width, its left and its top.
fn place(page: &Page) -> [f64; 3] {
    let script = "const { width, left, top } = document.querySelector('.map-sheet').getBoundingClientRect(); \
        return [width, left, top]";
    let place = done("measure the map", page.session.script(script, json!([])));
    [0, 1, 2].map(|n| place[n].as_f64().expect("a number"))
}

fn width(page: &Page) -> f64 {
    place(page)[0]
}

/// The width once the map has come to rest: what is under the mouse then stays there.
#[track_caller]
pub(super) fn steady(page: &Page) -> f64 {
    page.control("map.surface");
    let mut last: Vec<[f64; 3]> = Vec::new();
    let rests = || {
        last.push(place(page));
        let rest = &last[last.len().saturating_sub(LOOKS)..];
        let still = |one: &[f64; 3]| one.iter().zip(&rest[0]).all(|(now, then)| (now - then).abs() < 0.1);
        (rest.len() == LOOKS && rest.iter().all(still)).then_some(rest[0][0])
    };
    page.until(rests, || "the map does not come to rest".to_owned())
}

/// Which workspace's card has the focus.
fn focused_card(page: &Page) -> Option<String> {
    let script = "return document.activeElement?.dataset.card ?? null";
    Some(done("say the focus", page.session.script(script, json!([]))).as_str()?.to_owned())
}

#[track_caller]
fn focus_comes_to(page: &Page, id: &str) {
    page.until(
        || (focused_card(page).as_deref() == Some(id)).then_some(()),
        || format!("the focus is on {:?}, not on {id}", focused_card(page)),
    );
}

fn found(fleet: &Fleet, name: &str) -> Option<Value> {
    list(&fleet.get("/workspaces")).into_iter().find(|one| one["name"] == name)
}

pub fn an_empty_organisation_leads_to_the_first_agent_and_it_runs(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    scene.sign_in();
    page.see("Your organisation has its root, and no other agent yet");
    page.no_control("map.search");
    page.control("map.first").click();
    page.see("New workspace");
    page.control("create.name").fill("researcher");
    page.control("create.cancel").click();
    page.no_control("create.name");
    assert_eq!(list(&fleet.get("/workspaces")).len(), 1);

    page.control("map.first").click();
    assert_eq!(page.control("create.name").value(), "");
    page.control("create.name").fill("researcher");
    page.control("create.role").fill("reads and summarises");
    page.see("No running agent is touched.");
    page.control("create.submit").click();
    page.see("researcher was created.");
    page.control("toast.close").click();
    page.not_see("researcher was created.");
    page.see_in(".aside", "reads and summarises");
    page.see_in(".aside", "online");
    page.not_see("no other agent yet");
    page.control("map.search");

    let made = found(fleet, "researcher").expect("it was created");
    assert_eq!((&made["parent_id"], &made["role"]), (&json!(fleet.root()), &json!("reads and summarises")));
    let id = text(&made, "id");
    fleet.settled(&id);
    card_says(page, &id, "researcher online");
    assert_eq!(fleet.audit("event=workspace.create&outcome=done").len(), 1);
}

pub fn the_first_page_leads_to_the_root_agent(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.control("map.ask-root").click();
    page.is_at(&format!("/console/workspaces/{}/chat", scene.fleet().root()));
    page.control("chat.text");
}

pub fn turns_queues_debts_and_requests_appear_while_one_looks(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("worker", exec(HOLDS), None);
    fleet.settled(&id);
    scene.sign_in();
    card_says(page, &id, "worker online");
    page.see_in("[data-summary]", "2 workspaces · 1 online");

    let first = fleet.send(&id, "hold one");
    card_says(page, &id, "turn ");
    page.see_in("[data-summary]", "1 in a turn");
    let second = fleet.send(&id, "note two");
    card_says(page, &id, "1 queued");
    page.see_in(&card(&id), "1 queued");
    page.control_in(&card(&id), "map.card").click();
    page.see_in(".aside", "running for");
    page.see_in(".aside", "1 message");

    fleet.set(&id, "KEY", "a value");
    card_says(page, &id, "restart debt");
    page.see_in("[data-summary]", "1 restart debt");
    page.see_in(".aside", "restart debt");

    let agent = Actor::bearer(ADMIN);
    let path = format!("/workspaces/{id}/secrets");
    let held = fleet.ask_as(&agent, Method::POST, &path, Some(json!({"key": "OTHER", "value": "some value"})));
    let held = want(202, held);
    card_says(page, &id, "1 waiting");
    page.see_in(".aside", "1 request about it or from it");
    page.control("aside.waiting").click();
    page.is_at("/console/approvals");
    page.control("nav.map").click();
    page.control("map.waiting").click();
    page.is_at("/console/approvals");
    page.control("nav.map").click();
    page.control("map.as-map");

    // And everything goes away as it came.
    let withdraw = format!("/approvals/{}/withdraw", text(&held, "approval_id"));
    want(200, fleet.ask_as(&agent, Method::POST, &withdraw, None));
    fleet.touch(&id, "one");
    fleet.outcome(&id, &first);
    fleet.outcome(&id, &second);
    fleet.settled(&id);
    let calm = || {
        let now = described(page, &id);
        (!["in a turn", "queued", "debt", "waiting"].iter().any(|word| now.contains(word))).then_some(())
    };
    page.until(calm, || described(page, &id));
    page.see_in("[data-summary]", "2 workspaces · 1 online");
}

pub fn arrows_walk_enter_opens_and_keys_zoom(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let root = fleet.root();
    let left = fleet.create("a left one", json!("external"), None);
    let right = fleet.create("b right one", json!("external"), None);
    let under = fleet.create("under the left one", json!("external"), Some(&left));
    scene.sign_in();
    page.control_in(&card(&root), "map.card").press("Down");
    focus_comes_to(page, &left);
    page.is_at(&format!("/console?selected={left}"));
    page.press("Right");
    focus_comes_to(page, &right);
    page.press("Left");
    focus_comes_to(page, &left);
    page.press("Down");
    focus_comes_to(page, &under);
    page.press("Up");
    focus_comes_to(page, &left);
    page.press("Enter");
    page.is_at(&format!("/console/workspaces/{left}"));
    page.back();

    // The whole map is one stop on the way of the keyboard, and its cards are the next.
    let steady = steady(page);
    page.control("map.surface").press("=");
    page.until(|| (width(page) > steady * 1.1).then_some(()), || "the map did not grow".to_owned());
    let grown = width(page);
    page.type_keys("+");
    page.until(|| (width(page) > grown * 1.1).then_some(()), || "the map did not grow".to_owned());
    page.press("-");
    page.until(|| ((width(page) - grown).abs() < 1.0).then_some(()), || "the map did not shrink".to_owned());
    page.press("0");
    page.until(|| ((width(page) - steady).abs() < 1.0).then_some(()), || "the map does not fit".to_owned());
    page.control("map.zoom-in").click();
    page.until(|| (width(page) > steady * 1.1).then_some(()), || "the map did not grow".to_owned());
    page.control("map.zoom-out").click().click();
    page.until(|| (width(page) < steady * 0.9).then_some(()), || "the map did not shrink".to_owned());
    page.control("map.fit").click();
    page.until(|| ((width(page) - steady).abs() < 1.0).then_some(()), || "the map does not fit".to_owned());
}

pub fn a_card_dropped_on_another_moves_there_once_confirmed(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let root = fleet.root();
    let team = fleet.create("team", json!("external"), None);
    let colleague = fleet.create("colleague", json!("external"), Some(&team));
    let mover = fleet.create("mover", json!("external"), None);
    let parent = |id: &str| fleet.workspace(id)["parent_id"].clone();
    scene.sign_in();
    let (from, to) = (card(&mover), card(&team));
    steady(page);
    page.control_in(&from, "map.card").drag_to(&page.control_in(&to, "map.card"));
    page.see("Move mover");
    page.see("From then on: team, colleague.");
    page.control("move.cancel").click();
    page.no_control("move.submit");
    assert_eq!(parent(&mover), json!(root));

    page.control_in(&from, "map.card").drag_to(&page.control_in(&to, "map.card"));
    page.control("move.submit").click();
    page.see("mover is now under team.");
    assert_eq!(parent(&mover), json!(team));
    assert_eq!(fleet.audit(&format!("event=workspace.reparent&workspace_id={mover}")).len(), 1);

    // Nobody can be put below itself: nothing happens, and nothing is asked.
    page.control_in(&to, "map.card").drag_to(&page.control_in(&card(&colleague), "map.card"));
    page.no_control("move.submit");
    assert_eq!(parent(&team), json!(root));

    // The same without a mouse.
    page.control_in(&from, "map.card").click();
    page.control("aside.move").click();
    page.no_control("move.submit");
    page.control("move.parent").choose(&text(&fleet.workspace(&root), "name"));
    page.see("Until now: team, colleague.");
    page.control("move.submit").click();
    page.until(|| (parent(&mover) == json!(root)).then_some(()), || "it was not moved back".to_owned());
}

pub fn the_list_shows_the_same_and_folds(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let team = fleet.create("team", json!("external"), None);
    let member = fleet.create("member of the team", json!("external"), Some(&team));
    fleet.create("loner", json!("external"), None);
    scene.sign_in();
    page.control("map.as-list").click();
    page.is_at("/console?view=list");
    page.see_in(".tree-list", "member of the team");
    page.control_in(".tree-list li:has([aria-label=\"Hide those below team\"])", "map.list-toggle").click();
    page.until(|| (!page.text(".tree-list").contains("member of the team")).then_some(()), || "not folded".to_owned());
    page.see_in(".tree-list", "loner");
    page.control_in(".tree-list li:has([aria-label=\"Show those below team\"])", "map.list-toggle").click();
    page.see_in(".tree-list", "member of the team");

    page.control_near("member of the team", "map.list-row").click();
    page.see_in(".aside h2", "member of the team");
    page.control("aside.close").click();
    page.no_control("aside.close");

    page.control("map.search").fill("MEMBER");
    page.until(|| (!page.text(".tree-list").contains("loner")).then_some(()), || "found too much".to_owned());
    page.control("map.search").press("Enter");
    page.see_in(".aside h2", "member of the team");
    page.control("map.search").fill("nobody is called this");
    page.see("Nothing fits your search.");
    page.control("map.search").fill("");
    page.control("map.as-map").click();
    page.control_in(&card(&member), "map.card");
    // What was chosen stays chosen, also for who opens the address.
    page.reload();
    page.see_in(".aside h2", "member of the team");
}

pub fn a_phone_shows_the_list_first_and_the_map_when_asked(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let team = fleet.create("team", json!("external"), None);
    page.emulate(Look { width: 390, height: 844, dark: false, reduced_motion: true });
    page.open("/console");
    page.control("sign-in.email").fill(OWNER);
    page.control("sign-in.password").fill(PASSWORD);
    page.control("sign-in.submit").click();
    page.control_near("team", "map.list-row").click();
    page.see_in(".aside h2", "team");
    page.control("aside.close").click();
    page.control("map.as-map").click();
    steady(page);
    page.control_in(&card(&team), "map.card").click();
    page.control("aside.open").click();
    page.is_at(&format!("/console/workspaces/{team}"));
    page.see_in("h1", "team");
}

pub fn one_beside_the_map_leads_on(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let team = fleet.create("team", json!("external"), None);
    scene.sign_in();
    for (link, path) in [("aside.open", ""), ("aside.chat", "/chat"), ("aside.secrets", "/secrets")] {
        steady(page);
        page.control_in(&card(&team), "map.card").click();
        page.control(link).click();
        page.is_at(&format!("/console/workspaces/{team}{path}"));
        page.control("nav.map").click();
    }
    steady(page);
    page.control_in(&card(&team), "map.card").click();
    page.control("aside.create").click();
    page.control("create.name").fill("new member");
    page.control("dialog.close").click();
    page.no_control("create.name");
    assert!(found(fleet, "new member").is_none());
    page.control("aside.create").click();
    assert_eq!(page.control("create.parent").value(), team);
    page.control("create.name").fill("new member");
    page.control("create.submit").click();
    page.see_in(".aside h2", "new member");
    assert_eq!(found(fleet, "new member").expect("it was created")["parent_id"], json!(team));
}

pub fn five_hundred_workspaces_are_all_there(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let (owner, url) = (fleet.owner(), fleet.url());
    let mut teams = Vec::new();
    for team in 0..20 {
        teams.push(fleet.create(&format!("team {team}"), json!("external"), None));
    }
    let names: Vec<usize> = (0..MANY - teams.len()).collect();
    for part in names.chunks(AT_ONCE) {
        fleet.run(async {
            let mut asked = tokio::task::JoinSet::new();
            for n in part {
                let body =
                    json!({"name": format!("agent {n}"), "runtime": "external", "parent_id": teams[n % teams.len()]});
                let (owner, url) = (owner.clone(), url.clone());
                asked.spawn(async move { want(201, owner.post(&url, "/workspaces", body).await) });
            }
            asked.join_all().await;
        });
    }
    scene.sign_in();
    let begun = Instant::now();
    page.open("/console");
    page.until(
        || (page.controls("map.card") == MANY + 1).then_some(()),
        || format!("{} cards", page.controls("map.card")),
    );
    note(&format!("{} cards were there after {:?}", MANY + 1, begun.elapsed()));
    page.see(&format!("{} workspaces", MANY + 1));
    // All of them are within sight, and one is found among them.
    let begun = Instant::now();
    page.control("map.search").fill("agent 333");
    page.control("map.search").press("Enter");
    page.see_in(".aside h2", "agent 333");
    note(&format!("one was found after {:?}", begun.elapsed()));
    let begun = Instant::now();
    page.control("map.as-list").click();
    page.until(|| (page.controls("map.list-row") == 1).then_some(()), || "the search is forgotten".to_owned());
    page.control("map.search").fill("");
    page.until(|| (page.controls("map.list-row") == MANY + 1).then_some(()), || "rows are missing".to_owned());
    note(&format!("the list was there after {:?}", begun.elapsed()));
}

/// A measurement, for whoever reads the output; nothing depends on it.
fn note(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
