use proptest::prelude::*;

use super::*;

const SEED: [u8; 32] = [7; 32];

fn knowing(values: &[(&str, &str)]) -> Redactor {
    let mut redactor = Redactor::new(SEED);
    for (key, value) in values {
        redactor.add(key, value);
    }
    redactor
}

fn streamed(redactor: &Redactor, text: &[u8], sizes: &[usize]) -> String {
    let mut stream = RedactStream::new();
    let mut out = String::new();
    let mut rest = text;
    let mut sizes = sizes.iter().copied().cycle();
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).clamp(1, rest.len());
        out += &stream.push(redactor, &rest[..size]);
        rest = &rest[size..];
    }
    out + &stream.finish(redactor)
}

#[test]
fn a_value_becomes_the_name_of_its_key() {
    let redactor = knowing(&[("DB", "hunter2-hunter2"), ("LONG", "hunter2-hunter2-and-more")]);
    assert_eq!(redactor.redact("x hunter2-hunter2 y"), "x [redacted:DB] y");
    assert_eq!(redactor.redact("hunter2-hunter2-and-more"), "[redacted:LONG]");
    assert!(matches!(redactor.redact("hunter2-hunter3"), Cow::Borrowed(_)));
}

#[test]
fn values_that_share_bytes_leave_none_behind() {
    let redactor = knowing(&[("A", "abcdefgh"), ("B", "efghijklmnop")]);
    assert_eq!(redactor.redact("<abcdefghijklmnop>"), "<[redacted:B]>");
    assert_eq!(redactor.redact("abcdefghabcdefgh"), "[redacted:A][redacted:A]");
}

#[test]
fn short_values_stay_and_the_limit_has_a_name() {
    let redactor = knowing(&[("PIN", &"7".repeat(REDACT_BYTES_MIN - 1))]);
    assert_eq!(redactor.redact("77777"), "77777");
    assert_eq!(knowing(&[("PIN", &"7".repeat(REDACT_BYTES_MIN))]).redact("777777"), "[redacted:PIN]");
}

#[test]
fn every_form_of_a_value_is_found() {
    let value = "pä ss/w+rd?&\"x\"";
    let redactor = knowing(&[("K", value)]);
    for form in [
        value.to_owned(),
        "cMOkIHNzL3crcmQ/JiJ4Ig==".to_owned(),
        "cMOkIHNzL3crcmQ/JiJ4Ig".to_owned(),
        "cMOkIHNzL3crcmQ_JiJ4Ig==".to_owned(),
        "p%C3%A4%20ss%2Fw%2Brd%3F%26%22x%22".to_owned(),
        "p%c3%a4%20ss%2fw%2brd%3f%26%22x%22".to_owned(),
        "p%C3%A4+ss%2Fw%2Brd%3F%26%22x%22".to_owned(),
        "pä ss/w+rd?&\\\"x\\\"".to_owned(),
    ] {
        assert_eq!(redactor.redact(&format!("a={form};")), "a=[redacted:K];", "{form}");
    }
}

#[test]
fn each_line_of_a_value_is_found_alone() {
    let redactor = knowing(&[("CERT", "first line\n  second line\nx\n")]);
    assert_eq!(redactor.redact("| second line |"), "| [redacted:CERT] |");
    assert_eq!(redactor.redact("x"), "x");
}

#[test]
fn credentials_are_known_by_their_shape() {
    let tail = "a1B2c3D4e5F6g7H8i9J0".repeat(3);
    let tokens = [
        format!("ptc_ws_{}", &tail[..43]),
        format!("ptc_boot_{}", &tail[..43]),
        format!("sk-{tail}"),
        format!("ghp_{}", &tail[..36]),
        format!("gho_{}", &tail[..36]),
        format!("github_pat_{tail}"),
        format!("AKIA{}", "ABCD1234".repeat(2)),
        format!("xoxb-{}", "123456-abc"),
        format!("glpat-{}", &tail[..20]),
        format!("eyJ{tail}.eyJ{tail}.{tail}"),
    ];
    let redactor = Redactor::new(SEED);
    for token in &tokens {
        assert_eq!(redactor.redact(&format!("\"{token}\"")), "\"[redacted:credential]\"", "{token}");
        assert_eq!(streamed(&redactor, token.as_bytes(), &[1]), "[redacted:credential]\n");
    }
    for innocent in [
        "a risk-averse-person-in-a-task-force-1",
        "ptc_ws_short",
        "eyJ.eyJ.x",
        "sk-a-phrase-of-many-words-only",
        "AKIA",
    ] {
        assert_eq!(redactor.redact(innocent), innocent);
    }
    assert_eq!(redactor.redact(&format!("x{}", tokens[0])), "x[redacted:credential]");
}

#[test]
fn a_private_key_goes_whole() {
    let dashes = "-".repeat(5);
    let key = format!("{dashes}BEGIN RSA PRIVATE KEY{dashes}\nMIIE\nabc/+=\n{dashes}END RSA PRIVATE KEY{dashes}");
    let redactor = Redactor::new(SEED);
    assert_eq!(redactor.redact(&format!("a {key} b\nMIIE")), "a [redacted:credential] b\nMIIE");
    assert_eq!(
        redactor.redact(&format!("{{\"k\":\"{}\"}}", key.replace('\n', "\\n"))),
        "{\"k\":\"[redacted:credential]\"}"
    );
    let lines = streamed(&redactor, format!("a {key} b\nMIIE\n").as_bytes(), &[3]);
    let gone = "[redacted:credential]";
    assert_eq!(lines, format!("a {gone}\n{gone}\n{gone}\n{gone} b\nMIIE\n"));
    // A key that is cut off takes nothing with it that is no key.
    let half = format!("{dashes}BEGIN PRIVATE KEY{dashes}\nMIIE\nnext: line\n");
    assert_eq!(redactor.redact(&half), format!("{gone}\nnext: line\n"));
    assert_eq!(streamed(&redactor, half.as_bytes(), &[5]), format!("{gone}\n{gone}\nnext: line\n"));
    let public = key.replace("PRIVATE", "PUBLIC");
    assert_eq!(redactor.redact(&public), public);
}

#[test]
fn a_value_across_the_break_of_a_long_line_is_found_once() {
    let value = "s3cret-".repeat(40);
    let redactor = knowing(&[("K", &value)]);
    for offset in [0, 1, 100, value.len() - 1, value.len(), value.len() + 1] {
        let text = format!("{}{value}{}", "x".repeat(LINE_BYTES_MAX - offset), "y".repeat(3 * LINE_BYTES_MAX));
        let out = streamed(&redactor, text.as_bytes(), &[4096]);
        assert_eq!(out.matches("[redacted:K]").count(), 1, "{offset}");
        assert!(!out.contains("s3c") && !out.contains("ret-"), "{offset}");
        assert_eq!(out.matches('x').count() + out.matches('y').count(), text.len() - value.len());
        assert!(out.lines().all(|line| line.len() <= 2 * LINE_BYTES_MAX));
    }
}

#[test]
fn a_flood_of_one_value_stays_bounded() {
    let redactor = knowing(&[("K", "aaaaaa")]);
    let out = streamed(&redactor, &[b'a'; 200_000], &[60_000]);
    assert!(out.len() < 1000 && !out.contains("aaaa"), "{}", out.len());
}

#[test]
fn a_value_of_the_largest_size_is_found_in_a_stream() {
    let value = "0123456789ab cdef".repeat(3855);
    let redactor = knowing(&[("BIG", &value)]);
    let text = format!("{}{value} end\n", "x".repeat(1000));
    let out = streamed(&redactor, text.as_bytes(), &[65536, 1]);
    assert!(!out.contains("0123456789ab"), "{}", &out[..2000]);
    assert!(out.ends_with(" end\n"));
}

#[test]
fn fingerprints_travel_and_work_where_they_arrive() {
    let sent = knowing(&[("K", "correct horse battery")]);
    let text = serde_json::to_string(&sent.fingerprints()).unwrap();
    let mut there = Redactor::new(SEED);
    there.merge(serde_json::from_str(&text).unwrap());
    assert_eq!(there.redact("a correct horse battery"), "a [redacted:K]");
    let mut stranger = Redactor::new([8; 32]);
    stranger.merge(serde_json::from_str(&text).unwrap());
    assert_eq!(stranger.redact("a correct horse battery"), "a correct horse battery");
    assert!(serde_json::from_str::<Fingerprints>(r#"[{"key":"K"}]"#).is_err());
}

fn value() -> impl Strategy<Value = String> {
    // Without the letters of "redacted:KEY": a value that is part of the replacement cannot be gone.
    "[B-JL-X0-9 /+%&=?ß-]{6,60}"
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_value_in_any_form_at_any_place_is_gone(
        value in value(), before in "[ -~\n]{0,80}", after in "[ -~\n]{0,80}", sizes in prop::collection::vec(1usize..50, 1..5)
    ) {
        let redactor = knowing(&[("KEY", &value)]);
        let (whole, lines) = (forms::of(&value), forms::lines(&value, REDACT_BYTES_MIN, LINES_MAX));
        for form in whole.iter().map(|form| form.as_str()).chain(lines) {
            let text = format!("{before}{form}{after}");
            prop_assert!(!redactor.redact(&text).contains(form));
            prop_assert!(!streamed(&redactor, text.as_bytes(), &sizes).contains(form));
        }
    }

    #[test]
    fn text_without_values_is_unchanged(value in "[0-9]{6,40}", text in "[a-z .:\n]{0,200}") {
        let redactor = knowing(&[("KEY", &value)]);
        prop_assert_eq!(redactor.redact(&text), text.as_str());
        let lines = if text.is_empty() || text.ends_with('\n') { text.clone() } else { format!("{text}\n") };
        prop_assert_eq!(streamed(&redactor, text.as_bytes(), &[7]), lines);
    }

    #[test]
    fn any_cutting_of_a_stream_gives_the_same(
        value in "[ab\u{e4}]{6,9}", text in prop::collection::vec(prop::sample::select(b"ab\xc3\xa4\n".to_vec()), 0..400),
        repeat in 1usize..120, sizes in prop::collection::vec(1usize..3000, 1..6)
    ) {
        let redactor = knowing(&[("KEY", &value)]);
        let text = text.repeat(repeat);
        prop_assert_eq!(streamed(&redactor, &text, &sizes), streamed(&redactor, &text, &[text.len().max(1)]));
    }

    #[test]
    fn the_fingerprints_hold_no_value(value in value()) {
        let text = serde_json::to_string(&knowing(&[("KEY", &value)]).fingerprints()).unwrap();
        for form in forms::of(&value) {
            prop_assert!(!text.contains(form.as_str()));
        }
    }
}

#[test]
fn lines_are_known_up_to_a_limit_and_whole_values_always() {
    let value = |name: &str, lines: usize| {
        (0..lines).map(|line| format!("{name}-line-{line:06}\n  same-line\n")).collect::<String>()
    };
    let mut redactor = Redactor::new(SEED);
    let many = value("first", LINES_MAX + 1);
    redactor.add("FIRST", &many);
    assert!(redactor.fingerprints.len() < LINES_MAX + 30, "{}", redactor.fingerprints.len());
    // A line that stands there twice counts once.
    assert_eq!(redactor.redact("first-line-000998"), "[redacted:FIRST]");
    assert_eq!(redactor.redact("first-line-001000"), "first-line-001000");
    assert_eq!(redactor.redact(&many), "[redacted:FIRST]");
    for n in 0..2 * FORMS_MAX / LINES_MAX {
        redactor.add("MORE", &value(&format!("more-{n}"), LINES_MAX));
    }
    let whole = 30 * (1 + 2 * FORMS_MAX / LINES_MAX);
    assert!((FORMS_MAX..FORMS_MAX + whole).contains(&redactor.fingerprints.len()), "{}", redactor.fingerprints.len());
    redactor.add("LAST", "last-line-one\nlast-line-two");
    assert_eq!(redactor.redact("last-line-one"), "last-line-one");
    assert_eq!(redactor.redact("<last-line-one\nlast-line-two>"), "<[redacted:LAST]>");
    // Also when they come from another process.
    let mut other = Redactor::new(SEED);
    other.merge(redactor.fingerprints());
    other.merge(knowing(&[("NEXT", "next-line-one\nnext-line-two")]).fingerprints());
    assert!(other.fingerprints.len() < FORMS_MAX + whole);
    assert_eq!(other.redact("next-line-one next-line-one\nnext-line-two"), "next-line-one [redacted:NEXT]");
}

#[test]
fn what_somebody_said_comes_back_as_it_was_said() {
    let mut redactor = Redactor::new([7; 32]);
    redactor.add("ONE", "the-first-value");
    redactor.add("TWO", "the-second-value");
    let said = redactor.keys_in("is it the-first-value? the-first-value!");
    assert_eq!(said, ["ONE"]);
    let text = "the-first-value and the-second-value";
    assert_eq!(redactor.redact_beside(text, &said), "the-first-value and [redacted:TWO]");
    assert_eq!(redactor.redact_beside(text, &[]), redactor.redact(text));
}
