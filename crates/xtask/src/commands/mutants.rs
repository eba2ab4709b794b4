//! `mutants`: small changes to the trusted base, one at a time, each of which some test must notice.
//!
//! What no test notices must stand in `docs/mutants.md` with the reason, and what stands there must really be unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::mutants::{
    PARTS, Part, copy, page, tool,
    verdict::{self, Fate},
};
use crate::{clients, postgres, step};

/// What the arguments ask for.
struct Wanted<'a> {
    parts: Vec<&'static Part>,
    /// `k/n`: only this share of the mutants of each round, counted from `0/n`.
    shard: Option<&'a str>,
}

pub fn run(arguments: &[String]) -> Result<(), String> {
    let wanted = read(arguments)?;
    let root = clients::root()?;
    let page = std::fs::read_to_string(root.join(page::PAGE)).map_err(|error| format!("{}: {error}", page::PAGE))?;
    let accepted = page::survivors(&page);
    let home = root.join("target/mutants");
    let program = step::announce("cargo-mutants", || tool::ensure(&home.join("tool")))?;
    let tree = home.join("tree");
    copy::refresh(&root, &tree).map_err(|error| format!("cannot copy the tree: {error}"))?;

    let mut complaints = page::complaints(&root, &page);
    complaints.extend(unknown(&program, &tree, &accepted)?);
    let mut rounds = wanted.parts.iter().flat_map(|part| part.rounds);
    let cluster = if rounds.any(|round| round.both_engines) {
        Some(postgres::Cluster::start(&postgres::ensure()?)?)
    } else {
        None
    };
    for part in wanted.parts {
        let fates = step::announce(part.name, || {
            let mut fates = Vec::new();
            for (at, round) in part.rounds.iter().enumerate() {
                let output = home.join(format!("{}-{at}", part.name));
                let database = cluster.as_ref().filter(|_| round.both_engines).map(postgres::Cluster::url);
                let listed = tool::list(&program, &tree, round)?;
                let names: BTreeMap<String, String> = listed.iter().cloned().zip(verdict::names(&listed)).collect();
                let outcomes = tool::run(&program, &tree, round, wanted.shard, database, &output)?;
                for (line, fate) in verdict::fates(&outcomes)? {
                    let name = names.get(&line).ok_or_else(|| format!("`{line}` was tried and is not listed"))?;
                    fates.push((name.clone(), fate));
                }
            }
            Ok(fates)
        })?;
        for (name, fate) in fates.iter().filter(|(_, fate)| *fate != Fate::Caught) {
            step::say(&page::row(name, &format!("{fate:?}")));
        }
        complaints.extend(verdict::complaints(&fates, &accepted));
        step::say(&verdict::counts(part.name, &fates));
    }
    cluster.map_or(Ok(()), postgres::Cluster::stop)?;
    if complaints.is_empty() { Ok(()) } else { Err(format!("see {}:\n{}", page::PAGE, complaints.join("\n"))) }
}

/// The rows of the page that are about no mutant of any part.
fn unknown(program: &Path, tree: &Path, accepted: &[(String, String)]) -> Result<Vec<String>, String> {
    let mut known = BTreeSet::new();
    for round in PARTS.iter().flat_map(|part| part.rounds) {
        known.extend(verdict::names(&tool::list(program, tree, round)?));
    }
    let gone = accepted.iter().filter(|(mutant, _)| !known.contains(mutant));
    Ok(gone.map(|(mutant, _)| format!("there is no such mutant any more: {mutant}")).collect())
}

fn read(arguments: &[String]) -> Result<Wanted<'_>, String> {
    let mut wanted = Wanted { parts: Vec::new(), shard: None };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--shard" {
            let shard = words.next().filter(|shard| is_shard(shard));
            wanted.shard = Some(shard.ok_or("`--shard` wants `k/n`, from 0/n")?);
        } else {
            let part = PARTS.iter().find(|part| part.name == word);
            let names = || PARTS.each_ref().map(|part| part.name).join(", ");
            wanted.parts.push(part.ok_or_else(|| format!("there is no part `{word}`; the parts are {}", names()))?);
        }
    }
    if wanted.parts.is_empty() {
        wanted.parts = PARTS.iter().collect();
    }
    Ok(wanted)
}

fn is_shard(text: &str) -> bool {
    let Some((k, n)) = text.split_once('/') else { return false };
    matches!((k.parse::<u32>(), n.parse::<u32>()), (Ok(k), Ok(n)) if k < n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn parts_and_a_share_are_read_in_any_order() {
        let names = |line: &str| {
            let words = words(line);
            let wanted = read(&words).ok()?;
            let names: Vec<_> = wanted.parts.iter().map(|part| part.name).collect();
            Some((names.join(" "), wanted.shard.map(str::to_owned)))
        };
        assert_eq!(names("vault"), Some(("vault".to_owned(), None)));
        assert_eq!(names("--shard 1/2 vault writer"), Some(("vault writer".to_owned(), Some("1/2".to_owned()))));
        assert_eq!(names("").map(|(parts, _)| parts.split(' ').count()), Some(PARTS.len()));
        for bad in ["vaults", "--shard", "--shard 2/2", "--shard 1", "--shard a/b", "--slow"] {
            assert_eq!(names(bad), None, "{bad}");
        }
    }
}
