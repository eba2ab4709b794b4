//! Patterns over JSON: an object names the members that matter, everything else is ignored.

use serde_json::Value;

/// Appends one sentence for everything that is not as the pattern says.
pub fn mismatches(place: &str, pattern: &Value, actual: Option<&Value>, found: &mut Vec<String>) {
    let Some(members) = pattern.as_object() else {
        if actual != Some(pattern) {
            found.push(format!("`{place}` should be {pattern}, is {}", shown(place, actual)));
        }
        return;
    };
    if let Some((matcher, argument)) = only(members).filter(|(matcher, _)| is_matcher(matcher)) {
        if !matches(matcher, argument, actual) {
            found.push(format!("`{place}` should be {matcher} {argument}, is {}", shown(place, actual)));
        }
        return;
    }
    for (name, member) in members {
        let below = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        mismatches(&below, member, actual.and_then(|actual| lookup(actual, name)), found);
    }
}

/// Whether everything is as the pattern says.
pub fn fits(pattern: &Value, actual: &Value) -> bool {
    let mut found = Vec::new();
    mismatches("", pattern, Some(actual), &mut found);
    found.is_empty()
}

/// The member at a dotted path; numbers index arrays.
pub fn lookup<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').filter(|name| !name.is_empty()).try_fold(value, |value, name| match value {
        Value::Array(items) => name.parse::<usize>().ok().and_then(|index| items.get(index)),
        other => other.get(name),
    })
}

fn only(members: &serde_json::Map<String, Value>) -> Option<(&str, &Value)> {
    let mut members = members.iter();
    let first = members.next()?;
    members.next().is_none().then_some((first.0.as_str(), first.1))
}

fn is_matcher(name: &str) -> bool {
    matches!(name, "absent" | "present" | "contains" | "excludes" | "one_of" | "length" | "not")
}

fn matches(matcher: &str, argument: &Value, actual: Option<&Value>) -> bool {
    let actual = actual.filter(|actual| !actual.is_null());
    match matcher {
        "absent" => actual.is_none() == (*argument == true),
        "present" => actual.is_some() == (*argument == true),
        "contains" => actual.is_some_and(|actual| contains(actual, argument)),
        "excludes" => actual.is_none_or(|actual| !contains(actual, argument)),
        "one_of" => argument.as_array().is_some_and(|choices| actual.is_some_and(|actual| choices.contains(actual))),
        "length" => actual.and_then(Value::as_array).map(|items| items.len() as u64) == argument.as_u64(),
        "not" => !fits(argument, actual.unwrap_or(&Value::Null)),
        _ => false,
    }
}

fn contains(actual: &Value, part: &Value) -> bool {
    match (actual, part) {
        (Value::String(text), Value::String(part)) => text.contains(part),
        (Value::Array(items), part) => items.iter().any(|item| fits(part, item)),
        (Value::Object(members), Value::String(name)) => members.contains_key(name),
        _ => false,
    }
}

/// What was found instead: short, and never a credential.
fn shown(place: &str, actual: Option<&Value>) -> String {
    const CHARACTERS_MAX: usize = 160;
    let name = place.rsplit('.').next().unwrap_or_default();
    match actual {
        None => "absent".to_owned(),
        Some(_) if name.ends_with("token") || name == "value" => "[hidden]".to_owned(),
        Some(actual) => actual.to_string().chars().take(CHARACTERS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pattern_holds_or_says_what_does_not() {
        let actual = json!({ "status": "saved", "n": 2, "list": [{ "key": "A", "x": 1 }], "none": null });
        for (pattern, holds) in [
            (json!({ "status": "saved" }), true),
            (json!({ "status": "held" }), false),
            (json!({ "list.0.key": "A", "list": { "length": 1 } }), true),
            (json!({ "list": { "contains": { "key": "A" } } }), true),
            (json!({ "list": { "excludes": { "key": "A" } } }), false),
            (json!({ "none": { "absent": true }, "nowhere": { "absent": true } }), true),
            (json!({ "status": { "absent": true } }), false),
            (json!({ "status": { "contains": "ave" } }), true),
            (json!({ "n": { "one_of": [1, 2] } }), true),
            (json!({ "n": { "not": 2 } }), false),
            (json!({ "n": { "present": true }, "m": { "present": true } }), false),
        ] {
            assert_eq!(fits(&pattern, &actual), holds, "{pattern}");
        }
    }

    #[test]
    fn a_mismatch_never_shows_a_credential() {
        let mut found = Vec::new();
        mismatches("", &json!({ "auth_token": "x" }), Some(&json!({ "auth_token": "hunter2" })), &mut found);
        assert_eq!(found, ["`auth_token` should be \"x\", is [hidden]"]);
    }
}
