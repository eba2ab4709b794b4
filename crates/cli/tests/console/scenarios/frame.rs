//! The frame around every page: where one can go, and how it looks.

use serde_json::json;

use crate::{
    kit::fleet::OWNER,
    page::{Look, Page},
    scene::{Scene, sign_in},
};

/// The links beside a page on a desk, and where they lead.
const LINKS: [(&str, &str); 8] = [
    ("nav.approvals", "/console/approvals"),
    ("nav.secrets", "/console/secrets"),
    ("nav.audit", "/console/audit"),
    ("nav.policies", "/console/policies"),
    ("nav.operators", "/console/operators"),
    ("nav.tokens", "/console/tokens"),
    ("nav.settings", "/console/settings"),
    ("nav.map", "/console"),
];

/// The links below a page on a phone.
const SHORT: [(&str, &str); 3] =
    [("bottom.approvals", "/console/approvals"), ("bottom.audit", "/console/audit"), ("bottom.map", "/console")];

/// What is behind "More" on a phone.
const MORE: [(&str, &str); 5] = [
    ("more.secrets", "/console/secrets"),
    ("more.policies", "/console/policies"),
    ("more.operators", "/console/operators"),
    ("more.tokens", "/console/tokens"),
    ("more.settings", "/console/settings"),
];

const PHONE: Look = Look { width: 390, height: 844, dark: false, reduced_motion: true };

pub fn every_link_beside_a_page_leads_there(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    for (link, path) in LINKS {
        page.control(link).click();
        page.is_at(path);
        page.settled();
        assert_eq!(page.control(link).attribute("aria-current").as_deref(), Some("page"), "{link}");
    }
    page.open("/console/no/such/page");
    page.see("No such page");
    page.control("not-found.home").click();
    page.is_at("/console");
    page.control("nav.audit").click();
    page.is_at("/console/audit");
    page.control("nav.home").click();
    page.is_at("/console");
    page.back();
    page.is_at("/console/audit");
}

pub fn every_link_of_a_phone_leads_there(scene: &mut Scene) {
    let page = &scene.page;
    page.emulate(PHONE);
    scene.sign_in();
    for (link, path) in SHORT {
        page.control(link).click();
        page.is_at(path);
    }
    for (link, path) in MORE {
        page.control("bottom.more").click();
        page.control(link).click();
        page.is_at(path);
        page.no_control(link);
    }
    page.control("top.home").click();
    page.is_at("/console");
    page.control("bottom.more").click();
    page.control("dialog.close").click();
    page.control("bottom.more").click();
    page.control("more.theme").click();
    page.until(|| (page.theme() == "dark").then_some(()), || format!("the theme is {}", page.theme()));
    page.control("more.sign-out").click();
    page.control("sign-in.email");
}

pub fn the_theme_follows_the_system_until_it_is_chosen(scene: &mut Scene) {
    let page = &scene.page;
    let look = |dark| Look { width: 1440, height: 900, dark, reduced_motion: false };
    page.emulate(look(true));
    scene.sign_in();
    let dark = page.background();
    page.emulate(look(false));
    page.until(|| (page.background() != dark).then_some(()), || "it stays dark".to_owned());
    page.reload();
    page.control("nav.theme").click();
    page.until(|| (page.background() == dark).then_some(()), || "it does not become dark".to_owned());
    // Remembered by this browser, and by no other.
    page.reload();
    page.control("nav.theme");
    assert_eq!(page.background(), dark);
    let other = scene.another_page();
    other.emulate(look(false));
    sign_in(&other, OWNER);
    assert_ne!(other.background(), dark);
}

pub fn the_keyboard_alone_goes_past_the_frame(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.open("/console/settings");
    page.settled();
    page.tab_to("skip");
    page.press("Enter");
    page.until(|| page.is_focused("#main").then_some(()), || format!("the focus is at {:?}", page.focused()));
    page.tab_to("nav.audit");
    page.press("Enter");
    page.is_at("/console/audit");
}

/// It is said that the stream is away: first that it is tried again, soon that the page asks by itself.
#[track_caller]
fn is_cut_off(page: &Page) {
    let says = || page.text(".side .connection");
    let away = |now: &str| now.contains("reconnecting") || now.contains("asking every");
    page.until(|| away(&says()).then_some(()), says);
}

/// Writes down from now on what the page says of its connection.
const HEAR: &str = "window.said = []; const side = document.querySelector('.side'); \
    new MutationObserver(() => window.said.push(side.querySelector('.connection')?.textContent)) \
        .observe(side, { subtree: true, childList: true, characterData: true });";

pub fn a_connection_that_breaks_is_said_and_comes_back(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.see_in(".side .connection", "live");
    page.ask(HEAR, json!([]));
    page.offline(true);
    // Only for a moment: soon it asks by itself.
    let said = || page.ask("return window.said.join()", json!([])).to_string();
    page.until(|| said().contains("reconnecting").then_some(()), said);
    page.offline(false);
    page.see_in(".side .connection", "live");
}

pub fn what_could_not_be_asked_is_asked_again_by_hand(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.see("live");
    page.forgive("ERR_BLOCKED_BY_CLIENT");
    // Only this one: a stream that comes back asks again by itself, and may be faster.
    page.keep_back(&["/operators"]);
    page.control("nav.operators").click();
    page.see("The server cannot be reached.");
    page.keep_back(&[]);
    page.control("problem.retry").click();
    page.see_in("tbody", OWNER);
}

pub fn without_the_stream_pages_ask_by_themselves(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.see_in(".side .connection", "live");
    page.forgive("ERR_INTERNET_DISCONNECTED");
    page.forgive("ERR_BLOCKED_BY_CLIENT");
    page.keep_back(&["/events"]);
    // The stream that is open ends; a new one does not come.
    page.offline(true);
    is_cut_off(page);
    page.offline(false);
    page.see_in(".side .connection", "asking every 10 s");
    scene.fleet().create("newcomer", json!("external"), None);
    page.see("newcomer");
    page.keep_back(&[]);
    page.see_in(".side .connection", "live");
    scene.fleet().create("another", json!("external"), None);
    page.see("another");
}

pub fn one_window_listens_for_all_and_another_takes_over(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.see_in(".side .connection", "live");
    let first = page.window();
    let second = page.new_window();
    page.open("/console");
    page.see_in(".side .connection", "live");
    scene.fleet().create("newcomer", json!("external"), None);
    page.see("newcomer");
    let streams = || scene.fleet().log().matches("operation=\"events\"").count();
    assert_eq!(streams(), 1, "the first window tells it");
    page.close_window(&first, &second);
    page.until(|| (streams() == 2).then_some(()), || format!("{} streams were opened", streams()));
    scene.fleet().create("another", json!("external"), None);
    page.see("another");
}
