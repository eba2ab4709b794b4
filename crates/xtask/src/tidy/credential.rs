//! No credential in the tree, not even an old one or one in a test: whoever finds it has to ask whether it is real.
//!
//! Looks for shapes, so it cannot find a password. It never repeats what it found: logs are read by more people.

use super::{Complaint, Tree, exception};

/// The list: `path#pattern`.
pub const LIST: &str = "crates/xtask/tidy/credential_shaped.txt";

/// A shape: one of some prefixes, then at least `length` characters of a kind.
struct Shape {
    name: &'static str,
    prefixes: &'static [&'static str],
    length: usize,
    is_part: fn(char) -> bool,
    /// Whether a hyphenated phrase could look the same, so that only a tail with a digit counts.
    needs_digit: bool,
}

const SHAPES: [Shape; 7] = [
    Shape {
        name: "github",
        prefixes: &["ghp_", "gho_", "ghs_", "ghu_", "ghr_"],
        length: 36,
        is_part: alphanumeric,
        needs_digit: false,
    },
    Shape { name: "github-pat", prefixes: &["github_pat_"], length: 22, is_part: wordish, needs_digit: false },
    Shape { name: "anthropic", prefixes: &["sk-ant-"], length: 16, is_part: wordish, needs_digit: false },
    Shape { name: "openai", prefixes: &["sk-"], length: 20, is_part: wordish, needs_digit: true },
    Shape {
        name: "slack",
        prefixes: &["xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-"],
        length: 10,
        is_part: wordish,
        needs_digit: true,
    },
    Shape { name: "aws", prefixes: &["AKIA"], length: 16, is_part: upper_or_digit, needs_digit: false },
    Shape {
        name: "portcullis",
        prefixes: &["ptc_adm_", "ptc_org_", "ptc_ws_", "ptc_enr_", "ptc_clm_", "ptc_ses_"],
        length: 43,
        is_part: wordish,
        needs_digit: false,
    },
];

/// The one shape that is not a prefix and a tail.
const PRIVATE_KEY: &str = "private-key";

/// Complains about credential-shaped strings outside the list, and entries that no longer match.
pub fn no_credential_shaped_strings(tree: &Tree) -> Vec<Complaint> {
    let listed = exception::read(tree, LIST);
    let mut used = vec![false; listed.len()];
    let mut complaints = Vec::new();
    for file in tree.files() {
        for (index, line) in file.text.lines().enumerate() {
            for name in shapes_in(line) {
                let key = format!("{}#{name}", file.path);
                if let Some(position) = listed.iter().position(|listed| listed.entry == key) {
                    used[position] = true;
                } else {
                    let text = format!(
                        "shaped like a credential ({name}); revoke it if it was real, build it at run time if not"
                    );
                    complaints.push(Complaint::at(&file.path, index + 1, text));
                }
            }
        }
    }
    for (exception, _) in listed.iter().zip(used).filter(|(_, used)| !used) {
        let text = format!("`{}` no longer matches; remove it from the list", exception.entry);
        complaints.push(Complaint::at(LIST, exception.line, text));
    }
    complaints
}

fn shapes_in(line: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = SHAPES.iter().filter(|shape| shape.is_in(line)).map(|shape| shape.name).collect();
    if is_private_key(line) {
        names.push(PRIVATE_KEY);
    }
    names
}

impl Shape {
    fn is_in(&self, line: &str) -> bool {
        self.prefixes.iter().any(|prefix| {
            line.match_indices(prefix).any(|(at, _)| {
                let tail = &line[at + prefix.len()..];
                let tail = &tail[..tail.find(|c| !(self.is_part)(c)).unwrap_or(tail.len())];
                // `desk-`, `risk-` and the like are words.
                !line[..at].ends_with(alphanumeric)
                    && tail.len() >= self.length
                    && (!self.needs_digit || tail.contains(|c: char| c.is_ascii_digit()))
            })
        })
    }
}

/// The head of a PEM file, whatever the algorithm.
fn is_private_key(line: &str) -> bool {
    line.match_indices("-----BEGIN ").any(|(at, head)| {
        line[at + head.len()..].split_once("-----").is_some_and(|(label, _)| label.ends_with("PRIVATE KEY"))
    })
}

fn alphanumeric(character: char) -> bool {
    character.is_ascii_alphanumeric()
}

fn upper_or_digit(character: char) -> bool {
    character.is_ascii_uppercase() || character.is_ascii_digit()
}

fn wordish(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<Complaint> {
        no_credential_shaped_strings(&Tree::of(&[("a.txt", text)]))
    }

    /// Every prefix with a tail of the length that counts; built here, since a literal would be found in this file.
    fn samples() -> Vec<(&'static str, String)> {
        let of = |shape: &'static Shape| shape.prefixes.iter().map(|p| (shape.name, format!("{p}{}", "A1".repeat(22))));
        SHAPES.iter().flat_map(of).collect()
    }

    #[test]
    fn every_shape_is_found_and_never_repeated() {
        for (name, sample) in samples() {
            let found = complaints(&format!("first line\nkey = \"{sample}\""));
            assert!(found.iter().any(|c| c.line == 2 && c.text.contains(name)), "{name}: {found:?}");
            assert!(found.iter().all(|c| !c.to_string().contains(&sample)));
        }
        for label in ["", "RSA ", "OPENSSH ", "EC "] {
            assert_eq!(complaints(&format!("-----{} {label}PRIVATE KEY-----", "BEGIN")).len(), 1);
        }
    }

    #[test]
    fn prefixes_short_tails_words_and_public_keys_are_fine() {
        for good in [
            "tokens start with ptc_adm_ or ghp_ or sk-ant- or AKIA",
            "ptc_org_not-long-enough",
            "the risk-averse-and-desk-bound-1-person-in-a-long-phrase",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----",
        ] {
            assert_eq!(complaints(good), [], "{good}");
        }
    }

    #[test]
    fn an_exception_covers_one_shape_in_one_file_and_may_not_outlive_it() {
        let key = format!("-----{} PRIVATE KEY-----", "BEGIN");
        let count =
            |list: &str, text: &str| no_credential_shaped_strings(&Tree::of(&[(LIST, list), ("a.txt", text)])).len();
        assert_eq!(count("a.txt#private-key", &key), 0);
        assert_eq!(count("a.txt#private-key", "nothing"), 1);
        assert_eq!(count("a.txt#aws", &key), 2);
        assert_eq!(count("b.txt#private-key", &key), 2);
    }
}
