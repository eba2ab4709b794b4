//! Text of others is text: whatever stands in a message, a name or a role, nothing of it is ever run or fetched.

use serde_json::{Value, json};

use crate::{
    page::{Page, done},
    scene::Scene,
};

const NAME: &str = "<img src=/stolen-by-name onerror=alert(1)>";
const ROLE: &str = "<script>alert(2)</script> [press](javascript:alert(3))";

/// How long a message is that is made to be slow to read, in bytes.
const STALLS: usize = 200_000;

/// What an agent could write to whoever reads it.
const MESSAGE: &str = "<img src=/stolen-by-message onerror=alert(4)>\n\
    <script>fetch('/stolen-by-script')</script>\n\
    [press me](javascript:alert(5)) and [me](data:text/html,<script>alert(6)</script>)\n\
    ![a picture](/stolen-by-picture.png) ![another](http://127.0.0.1:9/stolen.png)\n\
    <a href=\"javascript:alert(7)\">raw</a> <iframe src=/stolen-by-frame></iframe>\n\n\
    | a | b |\n|---|---|\n| <svg onload=alert(8)> | `<b>code</b>` |\n";

/// Nothing ran, nothing was fetched, and no element came out of a text.
#[track_caller]
fn is_harmless(page: &Page) {
    let script = "return document.querySelectorAll('main img, main script, main iframe, main svg[onload], dialog img, \
        [onerror], [onload], a[href^=\"javascript:\" i], a[href^=\"data:\" i]').length";
    assert_eq!(done("look for elements", page.session.script(script, json!([]))), json!(0), "{}", page.path());
    let asked: Vec<String> = page.requests().into_iter().filter(|url| url.contains("/stolen")).collect();
    assert!(asked.is_empty(), "{asked:?}");
    // While an alert is open, the driver answers nothing but that.
    assert!(page.session.get("/alert/text").is_err(), "an alert is open");
}

pub fn a_message_and_its_reply_run_nothing(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("parrot", json!("process"), None);
    fleet.settled(&id);
    let message = fleet.send(&id, MESSAGE);
    fleet.reply(&id, &message);
    scene.sign_in();
    page.open(&format!("/console/workspaces/{id}/chat"));
    for whose in [".message.mine", ".message.theirs"] {
        page.see_in(whose, "<img src=/stolen-by-message onerror=alert(4)>");
        page.see_in(whose, "<script>fetch('/stolen-by-script')</script>");
        page.see_in(whose, "[press me](javascript:alert(5)) and [me](data:text/html,<script>alert(6)</script>)");
        page.see_in(whose, "![a picture](/stolen-by-picture.png) another");
        page.see_in(whose, "<a href=\"javascript:alert(7)\">raw</a> <iframe src=/stolen-by-frame></iframe>");
        page.see_in(whose, "<svg onload=alert(8)>");
        page.see_in(whose, "<b>code</b>");
    }
    is_harmless(page);
}

pub fn a_message_made_to_stall_its_reader_does_not(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", json!("external"), None);
    for stalls in ["[", "`", "*a", "_a", "~~ ", "|", "- ", "(", "![", "https://"] {
        fleet.send(&id, &format!("|\n{}x", stalls.repeat(STALLS / stalls.len())));
    }
    fleet.send(&id, "the end of it");
    scene.sign_in();
    page.open(&format!("/console/workspaces/{id}/chat"));
    page.see_in(".chat-list > :last-child", "the end of it");
}

pub fn markdown_is_shown_as_it_is_meant(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", json!("external"), None);
    fleet.send(&id, "# A heading\n\n**strong** and *soft* and ~~gone~~\n\n- one\n- two\n\n```sh\nls -l <all>\n```\n\n> said before\n\n| a | b |\n|---|---|\n| 1 | 2 |");
    scene.sign_in();
    page.open(&format!("/console/workspaces/{id}/chat"));
    for (selector, words) in [
        (".md-heading", "A heading"),
        (".md strong", "strong"),
        (".md em", "soft"),
        (".md s", "gone"),
        (".md ul li:last-child", "two"),
        (".md pre", "ls -l <all>"),
        (".md blockquote", "said before"),
        (".md td:last-child", "2"),
    ] {
        page.see_in(selector, words);
    }
}

pub fn a_link_opens_elsewhere_and_says_nothing_of_us(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", json!("external"), None);
    let health = format!("{}/health", fleet.url().replace("127.0.0.1", "localhost"));
    fleet.send(&id, &format!("look [here]({health}) or there"));
    scene.sign_in();
    page.open(&format!("/console/workspaces/{id}/chat"));
    let link = page.control("chat.link");
    assert_eq!(link.label(), "here");
    assert_eq!(link.attribute("href").as_deref(), Some(health.as_str()));
    assert_eq!(link.attribute("rel").as_deref(), Some("noopener noreferrer nofollow"));
    let windows = || done("count the windows", page.session.get("/window/handles"));
    let before = windows();
    link.click();
    let opened =
        || windows().as_array()?.iter().find(|one| !before.as_array().is_some_and(|old| old.contains(one))).cloned();
    let opened: Value = page.until(opened, || "no other window was opened".to_owned());
    page.is_at(&format!("/console/workspaces/{id}/chat"));
    done("look at it", page.session.post("/window", json!({"handle": opened})));
    page.is_at("/health");
    let told = done("ask it", page.session.script("return [window.opener, document.referrer]", json!([])));
    assert_eq!(told, json!([null, ""]));
    done("close it", page.session.delete("/window"));
    done("go back", page.session.post("/window", json!({"handle": before[0]})));
}

pub fn a_name_and_a_role_run_nothing_wherever_they_stand(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let body = json!({"name": NAME, "role": ROLE, "runtime": "external"});
    let id = fleet.post("/workspaces", Some(body), 201)["id"].as_str().expect("an id").to_owned();
    let child = fleet.create("below it", json!("external"), Some(&id));
    scene.sign_in();
    page.see_in(&format!("[data-card=\"{id}\"]"), NAME);
    page.see_in(&format!("[data-card=\"{id}\"]"), ROLE);
    is_harmless(page);
    page.control_in(&format!("[data-card=\"{id}\"]"), "map.card").click();
    page.see_in(".aside h2", NAME);
    page.see_in(".aside", ROLE);
    page.control("map.as-list").click();
    page.see_in(".tree-list", NAME);
    is_harmless(page);
    page.open(&format!("/console/workspaces/{child}"));
    page.see_in(".crumbs", NAME);
    page.control("overview.parent").click();
    page.see_in("h1", NAME);
    page.see_in(".page-head", ROLE);
    is_harmless(page);
    page.open("/console/audit");
    page.see("workspace.create");
    is_harmless(page);
    page.open(&format!("/console/workspaces/{id}"));
    page.control("workspace.remove").click();
    page.see_in("dialog h2", NAME);
    is_harmless(page);
    page.control("confirm.type").fill(NAME);
    page.control("confirm.do").click();
    page.see(&format!("{NAME} was removed."));
    is_harmless(page);
}
