use std::time::Instant;

use super::super::*;

const KINDS: [TokenKind; 6] = [
    TokenKind::Admin,
    TokenKind::Organisation,
    TokenKind::Workspace,
    TokenKind::Enrolment,
    TokenKind::Claim,
    TokenKind::Session,
];

#[test]
fn tokens_are_parsed_as_made_and_nothing_else_is() {
    for kind in KINDS {
        let token = PlainToken::generate(kind);
        let text = token.expose();
        assert_eq!(text.len(), 4 + kind.as_str().len() + 1 + 43);
        let parsed = PlainToken::parse(text).unwrap();
        assert!(parsed.kind() == kind && parsed.hash() == token.hash() && TokenKind::of(text) == Some(kind));
        assert_eq!(token.hint(), text[..4 + kind.as_str().len() + 1 + 4]);
        for wrong in [
            &text[..text.len() - 1],
            &format!("{text}A"),
            &format!(" {text}"),
            &text.replace("ptc_", "ptx_"),
            &text.replacen(kind.as_str(), "abc", 1),
            &format!("{}!", &text[..text.len() - 1]),
            // Not the canonical text of any 32 bytes: the two last bits must be zero.
            &format!("{}B", &text[..text.len() - 1]),
        ] {
            assert!(PlainToken::parse(wrong).is_none(), "{wrong}");
        }
        assert!(PlainToken::generate(kind).hash() != token.hash());
    }
}

#[test]
fn a_credential_is_noticed_wherever_it_stands() {
    for kind in KINDS {
        let token = PlainToken::generate(kind);
        let text = token.expose();
        for hiding in
            [text.to_owned(), format!("☃ptc_{text}☃"), format!("{{\"a\":\"{text}\"}}"), format!("ptc_x {text}9")]
        {
            assert!(looks_like_credential(&hiding), "{hiding}");
        }
        assert!(!looks_like_credential(&token.hint()));
        assert!(!looks_like_credential(&text[..text.len() - 1]));
    }
    assert!(!looks_like_credential("ptc_ ptc_adm_ ptc_☃"));
    // Every character that a body can have, and none that it cannot.
    for (body, noticed) in [("-_aZ09", true), ("-_aZ0+", false), ("-_aZ0/", false), ("-_aZ0=", false)] {
        let text = format!("ptc_adm_{body}{}", "A".repeat(37));
        assert_eq!(looks_like_credential(&text), noticed, "{text}");
    }
}

#[test]
fn a_hash_is_of_the_whole_text() {
    let token = PlainToken::generate(TokenKind::Admin);
    assert_eq!(TokenHash::of_text(token.expose()), token.hash());
    // SHA-256 of the empty text.
    assert!(TokenHash::of_text("").0.starts_with(&[0xe3, 0xb0, 0xc4, 0x42]));
    assert_ne!(TokenHash::of_text("a"), TokenHash::of_text("b"));
}

#[test]
fn passwords_are_hashed_with_a_fresh_salt_and_the_stated_costs() {
    let hash = password_hash("correct horse battery").unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_ne!(password_hash("correct horse battery").unwrap(), hash);
    assert_eq!(password_verify("correct horse battery", Some(&hash)), Ok(true));
    assert_eq!(password_verify("correct horse batterx", Some(&hash)), Ok(false));
    assert_eq!(password_verify(&"x".repeat(257), Some(&hash)), Ok(false));
    assert_eq!(password_verify(&"x".repeat(257), Some("nonsense")), Ok(false), "nothing is worked out for it");
    let longest = "x".repeat(256);
    assert_eq!(password_verify(&longest, Some(&password_hash(&longest).unwrap())), Ok(true));
    assert!(matches!(password_verify("correct horse battery", Some("nonsense")), Err(VaultError::Malformed(_))));
}

/// Of the reference implementation, through argon2-cffi 25: salt `0123456789abcdef`.
#[test]
fn a_hash_is_that_of_the_reference_implementation() {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$69I7qCjDTsQwhQqFvpQJiqEI0lGQvxC84fXE0Ktxca4";
    assert_eq!(password_verify("correct horse battery", Some(hash)), Ok(true));
    let cheaper = "$argon2id$v=19$m=19455,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$69I7qCjDTsQwhQqFvpQJiqEI0lGQvxC84fXE0Ktxca4";
    assert_eq!(password_verify("correct horse battery", Some(cheaper)), Ok(false), "the costs are the hash's own");
}

#[test]
fn an_unknown_name_costs_as_much_as_a_known_one() {
    let costs = |phc: &str| phc.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
    let hash = password_hash("correct horse battery").unwrap();
    assert_eq!(costs(password::NOBODY), costs(&hash));
    let time = |stored: Option<&str>| {
        let start = Instant::now();
        assert_eq!(password_verify("wrong horse battery", stored), Ok(false));
        start.elapsed()
    };
    // In turns and with a wide margin, for a busy machine: what must not happen is an answer without the work.
    let both: Vec<_> = (0..5).map(|_| (time(None), time(Some(&hash)))).collect();
    let nobody = both.iter().map(|(nobody, _)| *nobody).min().unwrap();
    let somebody = both.iter().map(|(_, somebody)| *somebody).min().unwrap();
    assert!(nobody * 5 > somebody, "{both:?}");
}

#[test]
fn password_rules_are_told() {
    for (password, allowed) in [
        ("elevenchars", false),
        ("twelve chars", true),
        ("ééééééééé", false),
        ("éééééééééé", true),
        (&"x".repeat(256), true),
        (&"x".repeat(257), false),
    ] {
        assert_eq!(password_check(password).is_ok(), allowed, "{password}");
        if !allowed {
            assert!(matches!(password_hash(password), Err(VaultError::Password(_))));
        }
    }
}

#[test]
fn identifiers_sort_by_time() {
    let (early, late) = (uuid_v7(1_700_000_000_000), uuid_v7(1_700_000_000_001));
    assert!(early < late && early.get_version_num() == 7);
    assert_ne!(uuid_v7(5), uuid_v7(5));
    let time = |id: uuid::Uuid| id.as_u128() >> 80;
    assert_eq!((time(uuid_v7(5)), time(uuid_v7(-5))), (5, 0));
    assert_ne!(random::<32>(), random::<32>());
}
