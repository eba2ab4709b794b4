//! The register of controls: what the sources name, and what a run has used. No control is there that no scenario uses.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// The console's sources, from where cargo starts tests.
const SOURCES: &str = "../../console";

/// Code of others names no controls.
const NOT_OURS: &str = "vendor";

/// What introduces a name in a source; `data-` may stand before it.
const WORD: &str = "control";

/// Names that some scenario of this run has clicked, filled, chosen or pressed a key on.
static TOUCHED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Notes that a control was used.
pub fn touch(name: &str) {
    TOUCHED.lock().expect("names").insert(name.to_owned());
}

/// Compares what this run has used with what there is.
pub fn compare() -> Result<(), String> {
    let named = named(Path::new(SOURCES));
    let touched = TOUCHED.lock().expect("names");
    let mut faults = named.faults;
    if named.controls.is_empty() {
        faults.push("no control was found in the console's sources".to_owned());
    }
    for (name, place) in &named.controls {
        if !touched.contains(name) {
            faults.push(format!("{name} ({place}) is used by no scenario"));
        }
    }
    let unknown = touched.iter().filter(|name| !named.controls.contains_key(*name));
    faults.extend(unknown.map(|name| format!("{name} is used and not named as a literal in the sources")));
    if faults.is_empty() { Ok(()) } else { Err(format!("{} to repair:\n  {}", faults.len(), faults.join("\n  "))) }
}

/// All controls, each with a file that names it, and what cannot be read as one.
#[derive(Debug, Default)]
struct Named {
    controls: BTreeMap<String, String>,
    faults: Vec<String>,
}

fn named(folder: &Path) -> Named {
    let mut found = Named::default();
    for path in scripts(folder) {
        let place = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        read(&fs::read_to_string(&path).expect("a source"), &place, &mut found);
    }
    found
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the console's sources").map(|entry| entry.expect("an entry").path());
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() && !path.ends_with(NOT_OURS) {
            found.extend(scripts(&path));
        } else if path.extension().is_some_and(|extension| extension == "js") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Reads one source: `control="a.b"`, `data-control="a.b"`, `control: "a.b"`, and `controls=${NAME}` with the constant
/// of that name, whose texts are names.
fn read(source: &str, place: &str, found: &mut Named) {
    for (at, _) in source.match_indices(WORD) {
        let before = source[..at].strip_suffix("data-").unwrap_or(&source[..at]);
        // The end of a longer word is not it.
        if before.ends_with(|last: char| last.is_alphanumeric() || matches!(last, '_' | '-' | '.' | '$')) {
            continue;
        }
        let rest = &source[at + WORD.len()..];
        if let Some(constant) = rest.strip_prefix("s=${").and_then(|rest| Some(rest.split_once('}')?.0)) {
            texts_of(source, constant).into_iter().for_each(|name| found.add(name, place));
        } else if let Some(value) = rest.strip_prefix("=${").and_then(|rest| Some(rest.split_once('}')?.0)) {
            if !is_handed_through(value) {
                found.faults.push(format!("{place}: `control=${{{value}}}` is computed; write each name as it is"));
            }
        } else if let Some(value) = rest.trim_start().strip_prefix(['=', ':']) {
            let value = value.trim_start().strip_prefix('"').and_then(|value| Some(value.split_once('"')?.0));
            value.into_iter().for_each(|name| found.add(name, place));
        }
    }
}

/// Whether a component only passes on what it was given: `control`, `item.control`, `controls.email`.
fn is_handed_through(value: &str) -> bool {
    let is_path = value.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '?'));
    is_path && (value.ends_with(WORD) || value.starts_with("controls."))
}

/// The texts within `const NAME = {…}`; none for what is a parameter.
fn texts_of<'a>(source: &'a str, constant: &str) -> Vec<&'a str> {
    let begin = format!("const {constant} = {{");
    let body = source.split_once(&begin).and_then(|(_, rest)| Some(rest.split_once('}')?.0)).unwrap_or_default();
    body.split('"').skip(1).step_by(2).collect()
}

impl Named {
    fn add(&mut self, name: &str, place: &str) {
        let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if name.split('.').all(is_word) {
            self.controls.entry(name.to_owned()).or_insert_with(|| place.to_owned());
        } else {
            self.faults.push(format!("{place}: `{name}` is no name of a control; write area.action"));
        }
    }
}

/// The reader finds what it should and nothing else; said here because this binary has a runner of its own.
pub fn reads_names() -> Result<(), String> {
    let source = r#"
        html`<a data-control="a.one"><${Button} control="a.two" /><${F} control=${x.control} /><i aria-controls="no.thing" />`;
        const TABS = [{ control: "b.one" }];
        const NAMES = { first: "c.one", second: "c.two" };
        html`<${Form} controls=${NAMES} /><${Field} control=${controls.first} />`;
        html`<b control=${open ? "d.one" : "d.two"} />`;
    "#;
    let mut found = Named::default();
    read(source, "x.js", &mut found);
    let names: Vec<&str> = found.controls.keys().map(String::as_str).collect();
    let good = names == ["a.one", "a.two", "b.one", "c.one", "c.two"] && found.faults.len() == 1;
    if good { Ok(()) } else { Err(format!("{found:?}")) }
}
