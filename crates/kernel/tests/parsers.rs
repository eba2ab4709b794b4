//! Whatever comes in, a parser answers: with a value that reads back as itself, or with an error. It never panics, and an
//! error never quotes what it refused.

use std::{fmt::Display, str::FromStr};

use portcullis_kernel::{
    checkpoint::{Checkpoint, UnverifiedNote, VerifierKey},
    id::{ApprovalId, CredentialId, OperatorId, PolicyId, WorkspaceId},
    import::{self, Format},
    name::{DisplayName, Email, Note, SecretKey},
    refusal::Code,
    verb::Verb,
};
use proptest::prelude::*;

/// What is parsed is shown as what is parsed again.
fn reads_back<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let shown = value.to_string();
        assert_eq!(shown.parse::<T>().ok().as_ref(), Some(&value), "{text:?} is shown as {shown:?}");
    }
}

/// Text that is nearly right more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[A-Z_][A-Z0-9_]{0,130}",
        "[A-Z0-9_=.\\n ]{0,20}",
        "[a-z.+]{0,12}@[a-z.@]{0,12}",
        "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        "[0-9A-Fa-f{}:-]{30,40}",
    ]
}

/// Lines of files and notes, whole and broken.
fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        any::<String>(),
        "(export )?[A-Z_]{1,5} ?= ?[a-z\"'\\\\$# ]{0,8}",
        "\\{\"[A-Z]{1,3}\": ?\"[a-z]{0,3}\"(, ?\"[A-Z]{1,3}\": ?[0-9\"a-z]{0,3})?\\}?",
        "\u{2014} [a-z/]{1,6} [A-Za-z0-9+/=]{0,96}",
        "[a-z/]{1,6}\\+[0-9a-f]{8}\\+[A-Za-z0-9+/=]{0,48}",
        "[0-9]{1,20}",
    ];
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn ids_names_and_words_read_back_or_are_refused(text in text()) {
        reads_back::<WorkspaceId>(&text);
        reads_back::<OperatorId>(&text);
        reads_back::<CredentialId>(&text);
        reads_back::<ApprovalId>(&text);
        reads_back::<PolicyId>(&text);
        reads_back::<SecretKey>(&text);
        reads_back::<DisplayName>(&text);
        reads_back::<Email>(&text);
        reads_back::<Note>(&text);
        prop_assert!(Verb::parse(&text).is_none_or(|verb| verb.as_str() == text));
        prop_assert!(Code::parse(&text).is_none_or(|code| code.as_str() == text));
    }

    #[test]
    fn a_file_is_read_whole_or_refused_without_a_word_of_it(text in lines()) {
        for format in [Format::Env, Format::Json] {
            match import::read(format, &text) {
                Ok(pairs) => {
                    let mut keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_str()).collect();
                    keys.sort_unstable();
                    keys.dedup();
                    prop_assert_eq!(keys.len(), pairs.len(), "a key came twice");
                }
                Err(error) => {
                    let said = error.to_string();
                    let quoted = text.lines().map(str::trim).filter(|line| line.len() >= 12);
                    for line in quoted {
                        prop_assert!(!said.contains(line), "{} quotes {}", said, line);
                    }
                }
            }
        }
    }

    #[test]
    fn a_note_is_what_was_signed_or_no_note(text in lines(), size in 0_i64.., hash in any::<[u8; 32]>(), signature in any::<[u8; 64]>()) {
        let _ = UnverifiedNote::parse(&text);
        prop_assert!(VerifierKey::parse(&text).is_none_or(|key| VerifierKey::parse(&key.to_text()) == Some(key)));
        let key = VerifierKey { name: "portcullis/test".to_owned(), public: hash };
        let checkpoint = Checkpoint { origin: "portcullis/test".to_owned(), size, hash };
        let note = checkpoint.note(&key, &signature);
        let read = UnverifiedNote::parse(&note).expect("its own note");
        prop_assert_eq!(&read.checkpoint, &checkpoint);
        let as_signed = read.is_signed_by(&key, |public, message, signed| {
            *public == hash && message == checkpoint.body().as_bytes() && signed == signature
        });
        prop_assert!(as_signed);
        // A line more, a line less or a byte more is not the same note.
        for broken in [format!("{note}x"), note.replacen('\n', "", 1), format!("x\n{note}")] {
            let same = UnverifiedNote::parse(&broken).is_some_and(|read| read.checkpoint == checkpoint);
            prop_assert!(!same, "{:?} passes for {:?}", broken, note);
        }
    }
}
