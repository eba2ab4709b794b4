//! `deny.toml` holds even where cargo-deny is not installed: licences, banned crates and sources, read from that file
//! and compared with `cargo metadata`. Advisories need a database from the network and stay with cargo-deny.

use serde_json::Value;
use toml::Table;

use super::Complaint;

/// The file of rules.
pub const RULES: &str = "deny.toml";

/// Complains about packages that `deny.toml` does not permit. `metadata` is the JSON of `cargo metadata`.
pub fn dependencies_are_permitted(rules: &str, metadata: &str) -> Vec<Complaint> {
    let about = |text: String| Complaint::about(RULES, text);
    let Ok(rules) = rules.parse::<Table>() else { return vec![about("missing or not TOML".to_owned())] };
    let metadata = serde_json::from_str::<Value>(metadata).unwrap_or_default();
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    // An empty list would permit everything, or nothing be looked at: neither is an answer.
    let allowed = strings(&rules, "licenses", "allow");
    let banned = strings(&rules, "bans", "deny");
    for (empty, what) in
        [(allowed.is_empty(), "licences"), (banned.is_empty(), "bans"), (packages.is_empty(), "packages")]
    {
        if empty {
            return vec![about(format!("no {what} found; nothing was checked"))];
        }
    }
    let mut complaints = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            Some(licence) if is_allowed(licence, &allowed) => {}
            Some(licence) => {
                complaints.push(about(format!("`{name}` has the licence `{licence}`, which is not allowed")))
            }
            None => complaints.push(about(format!("`{name}` names no licence"))),
        }
        if banned.iter().any(|banned| banned == name) {
            complaints.push(about(format!("`{name}` is banned; `cargo tree -i {name}` shows who brings it")));
        }
    }
    complaints.extend(foreign_sources(packages).into_iter().map(about));
    complaints
}

/// Anything but paths and the default registry. Cargo writes `registry+` for the default one and `sparse+` or another
/// address for others, so more than one address means that one of them is foreign.
fn foreign_sources(packages: &[Value]) -> Vec<String> {
    let mut sources: Vec<&str> = packages.iter().filter_map(|package| package["source"].as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    let (registries, others): (Vec<&str>, Vec<&str>) = sources.into_iter().partition(|s| s.starts_with("registry+"));
    let mut found: Vec<String> =
        others.iter().map(|source| format!("`{source}` is not the default registry")).collect();
    if registries.len() > 1 {
        found.push(format!("more than one registry: {}", registries.join(", ")));
    }
    found
}

/// The strings of a list; of tables in it, what they call `crate`.
fn strings(rules: &Table, section: &str, key: &str) -> Vec<String> {
    let list = rules.get(section).and_then(|section| section.get(key)).and_then(toml::Value::as_array);
    let name = |item: &toml::Value| item.as_str().or_else(|| item.get("crate")?.as_str()).map(str::to_owned);
    list.into_iter().flatten().filter_map(name).collect()
}

/// Whether the allowed licences satisfy an expression. What cannot be read is not allowed.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut parser = Parser { words: spaced.split_whitespace().peekable(), allowed };
    let verdict = parser.any();
    verdict == Some(true) && parser.words.next().is_none()
}

/// SPDX: `AND` binds tighter than `OR`, `WITH` belongs to the name before it.
struct Parser<'a, I: Iterator<Item = &'a str>> {
    words: std::iter::Peekable<I>,
    allowed: &'a [String],
}

impl<'a, I: Iterator<Item = &'a str>> Parser<'a, I> {
    fn any(&mut self) -> Option<bool> {
        let mut verdict = self.all()?;
        while self.words.next_if_eq(&"OR").is_some() {
            // Both sides are read, whatever the first one says.
            verdict |= self.all()?;
        }
        Some(verdict)
    }

    fn all(&mut self) -> Option<bool> {
        let mut verdict = self.one()?;
        while self.words.next_if_eq(&"AND").is_some() {
            verdict &= self.one()?;
        }
        Some(verdict)
    }

    fn one(&mut self) -> Option<bool> {
        let word = self.words.next()?;
        if word == "(" {
            let verdict = self.any()?;
            return self.words.next_if_eq(&")").map(|_| verdict);
        }
        let name = match self.words.next_if_eq(&"WITH") {
            Some(_) => format!("{word} WITH {}", self.words.next()?),
            None => word.to_owned(),
        };
        Some(self.allowed.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "[licenses]\nallow = [\"MIT\", \"ISC\", \"Apache-2.0 WITH LLVM-exception\"]\n\
                        [bans]\ndeny = [{ crate = \"openssl\", reason = \"x\" }, \"sqlx\"]";

    fn package(name: &str, licence: &str, source: &str) -> String {
        format!(r#"{{ "name": "{name}", "license": "{licence}", "source": "{source}" }}"#)
    }

    fn complaints(packages: &[String]) -> usize {
        dependencies_are_permitted(DENY, &format!(r#"{{ "packages": [{}] }}"#, packages.join(","))).len()
    }

    #[test]
    fn licence_expressions_are_read_as_spdx_means_them() {
        let allowed = strings(&DENY.parse().unwrap(), "licenses", "allow");
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "GPL-3.0/MIT",
            "MIT / GPL-3.0",
            "MIT AND ISC",
            "ISC AND (GPL-3.0 OR MIT)",
            "GPL-3.0 AND MIT OR ISC",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Apache-2.0",
            "ISC AND (GPL-3.0 OR MPL-2.0)",
            "",
            "(MIT",
            "MIT ISC",
            "MIT)",
            "OR",
        ] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn permitted_packages_of_one_registry_are_fine() {
        assert_eq!(complaints(&[package("a", "MIT", "registry+one"), package("b", "ISC", "registry+one")]), 0);
    }

    #[test]
    fn bad_licences_banned_crates_and_foreign_sources_are_not() {
        assert_eq!(complaints(&[package("a", "GPL-3.0", "registry+one")]), 1);
        assert_eq!(complaints(&[r#"{ "name": "a", "license": null }"#.to_owned()]), 1);
        assert_eq!(complaints(&[package("openssl", "MIT", "registry+one"), package("sqlx", "MIT", "registry+one")]), 2);
        assert_eq!(complaints(&[package("a", "MIT", "git+one")]), 1);
        assert_eq!(complaints(&[package("a", "MIT", "registry+one"), package("b", "MIT", "registry+two")]), 1);
    }

    #[test]
    fn nothing_to_check_is_not_a_success() {
        assert_eq!(complaints(&[]), 1);
        assert_eq!(dependencies_are_permitted(DENY, "no json").len(), 1);
        assert_eq!(dependencies_are_permitted("", "{}").len(), 1);
        assert_eq!(dependencies_are_permitted("not toml", "{}").len(), 1);
    }
}
