//! What became of the mutants, compared with the page.

use std::collections::BTreeMap;

use serde_json::Value;

/// What cargo-mutants says of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// A test failed.
    Caught,
    /// The tests never came to an end.
    Timeout,
    /// It does not compile.
    Unviable,
    /// All tests passed.
    Missed,
}

/// Names by which mutants are known although lines move: without the place, and numbered from the second of a name.
pub fn names(listed: &[String]) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let name = |line: &String| {
        let bare = without_place(line);
        let count = seen.entry(bare.clone()).or_default();
        *count += 1;
        if *count == 1 { bare } else { format!("{bare} ({count})") }
    };
    listed.iter().map(name).collect()
}

/// `a.rs:1:2: text` is `a.rs: text`.
fn without_place(line: &str) -> String {
    let Some((place, text)) = line.split_once(": ") else { return line.to_owned() };
    format!("{}: {text}", place.split(':').next().unwrap_or(place))
}

/// The fates in `outcomes.json`, by the line that `--list` shows.
pub fn fates(outcomes: &str) -> Result<Vec<(String, Fate)>, String> {
    let read: Value = serde_json::from_str(outcomes).map_err(|error| format!("unreadable outcomes: {error}"))?;
    let outcomes = read["outcomes"].as_array().ok_or("there are no outcomes")?;
    let mutants =
        outcomes.iter().filter_map(|outcome| Some((outcome["scenario"]["Mutant"]["name"].as_str()?, outcome)));
    mutants
        .map(|(name, outcome)| match outcome["summary"].as_str() {
            Some("CaughtMutant") => Ok((name.to_owned(), Fate::Caught)),
            Some("Timeout") => Ok((name.to_owned(), Fate::Timeout)),
            Some("Unviable") => Ok((name.to_owned(), Fate::Unviable)),
            Some("MissedMutant") => Ok((name.to_owned(), Fate::Missed)),
            other => Err(format!("`{name}` ended as {other:?}")),
        })
        .collect()
}

/// What must change, in the tests or on the page.
pub fn complaints(fates: &[(String, Fate)], accepted: &[(String, String)]) -> Vec<String> {
    let complaint = |(name, fate): &(String, Fate)| {
        let accepted = accepted.iter().any(|(mutant, _)| mutant == name);
        match (fate, accepted) {
            (Fate::Missed, false) => Some(format!("no test notices: {name}")),
            (Fate::Caught | Fate::Timeout | Fate::Unviable, true) => {
                Some(format!("its reason is not needed any more: {name}"))
            }
            (Fate::Missed, true) | (Fate::Caught | Fate::Timeout | Fate::Unviable, false) => None,
        }
    };
    fates.iter().filter_map(complaint).collect()
}

/// How many of each fate, as a row of the page.
pub fn counts(part: &str, fates: &[(String, Fate)]) -> String {
    let count = |wanted: Fate| fates.iter().filter(|(_, fate)| *fate == wanted).count();
    let (caught, timeout) = (count(Fate::Caught), count(Fate::Timeout));
    let (unviable, missed) = (count(Fate::Unviable), count(Fate::Missed));
    format!("| {part} | {} | {caught} | {timeout} | {unviable} | {missed} |", fates.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn mutants_are_known_without_their_lines() {
        let listed = owned(&[
            "a.rs:1:2: replace < with > in f",
            "a.rs:3:4: replace < with > in f",
            "b.rs:3:4: replace A::f -> Result<u8, E> with Ok(0)",
        ]);
        let expected = [
            "a.rs: replace < with > in f",
            "a.rs: replace < with > in f (2)",
            "b.rs: replace A::f -> Result<u8, E> with Ok(0)",
        ];
        assert_eq!(names(&listed), expected);
    }

    const OUTCOMES: &str = r#"{"outcomes": [
        {"scenario": "Baseline", "summary": "Success"},
        {"scenario": {"Mutant": {"name": "a.rs:1:2: x in f"}}, "summary": "MissedMutant"},
        {"scenario": {"Mutant": {"name": "a.rs:2:2: y in f"}}, "summary": "CaughtMutant"},
        {"scenario": {"Mutant": {"name": "a.rs:3:2: z in f"}}, "summary": "Timeout"}]}"#;

    #[test]
    fn outcomes_are_read_and_what_is_not_understood_is_an_error() {
        let read = fates(OUTCOMES).expect("readable");
        let said: Vec<_> = read.iter().map(|(_, fate)| *fate).collect();
        assert_eq!(said, [Fate::Missed, Fate::Caught, Fate::Timeout]);
        assert_eq!(counts("p", &read), "| p | 3 | 1 | 1 | 0 | 1 |");
        assert!(fates(&OUTCOMES.replace("Timeout", "Failure")).is_err());
        assert!(fates("{}").is_err());
    }

    #[test]
    fn a_survivor_without_a_reason_and_a_reason_without_a_survivor_are_complaints() {
        let fates = fates(OUTCOMES).expect("readable");
        let accepted = |name: &str| vec![(name.to_owned(), "why".to_owned())];
        assert_eq!(complaints(&fates, &accepted("a.rs:1:2: x in f")), [""; 0]);
        assert_eq!(complaints(&fates, &[]).len(), 1);
        assert_eq!(complaints(&fates, &accepted("a.rs:2:2: y in f")).len(), 2);
        assert_eq!(complaints(&fates, &accepted("a.rs:3:2: z in f")).len(), 2);
    }
}
