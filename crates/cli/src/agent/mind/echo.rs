//! `--echo`: answers what it hears, and a few words that tests and the demo need.

use std::time::Duration;

use aws_lc_rs::digest;

use super::Ending;
use crate::agent::delivered::Delivered;
use crate::agent::plane::Message;
use crate::environment::agent as environment;
use crate::hidden::Hidden;
use crate::random::encode;

/// Longest `/sleep`, in seconds.
const SLEEP_S_MAX: u64 = 3600;
/// Bytes of the digest that are shown: enough to tell two values apart.
const DIGEST_BYTES_SHOWN: usize = 8;

/// Whose commands are obeyed. A peer that may write must not be able to end another agent by it.
const COMMANDS_OF: &str = "operator";

/// Answers one message.
pub async fn answer(message: &Message, delivered: &Delivered) -> Ending {
    let text = message.text.as_str();
    if message.from.kind != COMMANDS_OF {
        return Ending::Reply(text.to_owned());
    }
    let (word, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    match (word, rest.trim()) {
        ("/context", "") => Ending::Reply(delivered.context.clone().unwrap_or_else(|| "none".into())),
        ("/env", name) if is_key(name) => Ending::Reply(shown(delivered.value(name).as_ref())),
        ("/file", name) if is_key(name) => Ending::Reply(shown(file(name).as_ref())),
        ("/sleep", seconds) => match seconds.parse() {
            Ok(seconds) if seconds <= SLEEP_S_MAX => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ending::Reply(format!("slept {seconds}"))
            }
            _ => Ending::Failed(format!("/sleep takes a number of seconds up to {SLEEP_S_MAX}")),
        },
        ("/fail", "") => Ending::Failed("told to fail".into()),
        ("/die", "") => Ending::Die,
        _ => Ending::Reply(text.to_owned()),
    }
}

/// Keys only: a path would read any file.
fn is_key(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn file(name: &str) -> Option<Hidden> {
    Hidden::read(&environment::secrets_dir()?.join(name)).ok()
}

/// Whether there is a value, and which, without saying it.
fn shown(value: Option<&Hidden>) -> String {
    value.map_or_else(
        || "unset".into(),
        |value| {
            let digest = digest::digest(&digest::SHA256, value.reveal().as_bytes());
            format!("set {}", encode(&digest.as_ref()[..DIGEST_BYTES_SHOWN]))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_key_and_not_a_path() {
        assert!(is_key("A_KEY_2"));
        for name in ["", "../token", "a", "A B", "A/B"] {
            assert!(!is_key(name), "{name}");
        }
    }

    #[test]
    fn a_value_is_shown_by_its_digest_only() {
        assert_eq!(shown(Some(&Hidden::new("abc".into()))), "set ba7816bf8f01cfea");
        assert_eq!(shown(None), "unset");
    }
}
