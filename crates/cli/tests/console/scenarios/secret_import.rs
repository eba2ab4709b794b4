//! Many secrets at once, from a file or pasted.

use serde_json::{Value, json};

use super::secrets::{CANARY, echo, keeps_nothing_of, open_secrets, secret, writer};
use crate::scene::Scene;

pub fn pasted_lines_are_previewed_and_then_imported(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = writer(fleet);
    fleet.set(&id, "SAME_KEY", "as before");
    fleet.set(&id, "OLD_KEY", "old");
    fleet.settled(&id);
    scene.sign_in();
    open_secrets(page, &id);
    page.control("secrets.import").click();
    page.control("import.cancel").click();
    page.control("secrets.import").click();
    page.no_control("import.preview");
    page.control("import.content").fill("this is no line of a file");
    page.control("import.preview").click();
    page.see("IMPORT_INVALID");
    let lines = format!("# comment\nNEW_KEY={CANARY}\nOLD_KEY=new\nSAME_KEY=\"as before\"\n");
    page.control("import.content").fill(&lines);
    page.control("import.preview").click();
    page.see("1 added, 1 changed, 1 the same");
    page.see("restarts after its turn");
    assert_eq!(secret(fleet, &id, "NEW_KEY"), Value::Null);
    // Another content is another preview.
    page.control("import.content").fill("SAME_KEY=as before");
    page.control("import.preview").click();
    page.see("0 added, 0 changed, 1 the same");
    page.no_control("import.apply");
    page.control("import.content").fill(&lines);
    page.control("import.preview").click();
    page.control("import.apply").click();
    page.see("imported.");
    page.see("NEW_KEY");
    assert_eq!(secret(fleet, &id, "NEW_KEY")["latest_version"], 1);
    assert_eq!(secret(fleet, &id, "OLD_KEY")["latest_version"], 2);
    assert_eq!(fleet.audit("event=secret.import&outcome=done").len(), 1);
    keeps_nothing_of(page, CANARY);
}

pub fn a_file_is_read_as_what_its_name_says(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    let file = fleet.db.data_dir.join("secrets.json");
    std::fs::write(&file, json!({"FROM_JSON": CANARY}).to_string()).expect("a file");
    let other = fleet.db.data_dir.join("secrets.env");
    std::fs::write(&other, format!("FROM_ENV={CANARY}\n")).expect("a file");
    scene.sign_in();
    open_secrets(page, &id);
    page.control("secrets.import").click();
    page.control("import.file").fill(&file.display().to_string());
    page.control("import.preview").click();
    page.see("1 added, 0 changed, 0 the same");
    assert_eq!(page.control("import.format").value(), "json");
    // Read as the other kind, it is none.
    page.control("import.format").choose(".env: KEY=value");
    page.control("import.preview").click();
    page.see("IMPORT_INVALID");
    page.control("import.file").fill(&other.display().to_string());
    let content = || page.control("import.content").value().to_string();
    page.until(|| content().contains("FROM_ENV").then_some(()), || "the file was not read".to_owned());
    page.control("import.preview").click();
    page.see("FROM_ENV");
    // Not before somebody says so.
    page.control("import.cancel").click();
    page.see("What you want to import is not saved.");
    page.control("leaving.keep").click();
    page.control("import.apply").click();
    page.see("1 secret imported.");
    assert_eq!(secret(fleet, &id, "FROM_ENV")["latest_version"], 1);
    assert_eq!(secret(fleet, &id, "FROM_JSON"), Value::Null);
    page.control("secrets.import").click();
    page.control("import.file").fill(&file.display().to_string());
    page.control("import.preview").click();
    page.control("import.apply").click();
    page.not_see("What it changes");
    page.see("FROM_JSON");
    assert_eq!(secret(fleet, &id, "FROM_JSON")["latest_version"], 1);
    keeps_nothing_of(page, CANARY);
}
