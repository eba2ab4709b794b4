//! Names to ids. People type names; the server speaks ids; a name that two workspaces share is never guessed.

use serde_json::Value;

use crate::client::{Call, Client};
use crate::error::Error;
use crate::exit::Exit;

/// The id of the workspace with this id or name.
pub async fn workspace_id(client: &Client, name_or_id: &str) -> Result<String, Error> {
    if is_id(name_or_id) {
        return Ok(name_or_id.to_owned());
    }
    pick(&client.json(&Call::get("/workspaces")).await?, name_or_id)
}

fn pick(workspaces: &Value, name: &str) -> Result<String, Error> {
    let all = workspaces.as_array().map(Vec::as_slice).unwrap_or_default();
    let named = all.iter().filter(|workspace| workspace["name"] == name);
    let ids: Vec<&str> = named.filter_map(|workspace| workspace["id"].as_str()).collect();
    match ids.as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => Err(Error::new(Exit::NotFound, format!("there is no workspace `{name}` that you may see"))
            .hint("`portcullis workspace list` shows them")),
        several => Err(Error::usage(format!("{} workspaces are named `{name}`", several.len()))
            .hint(format!("give the id instead: {}", several.join(", ")))),
    }
}

/// Whether it has the shape of a UUID.
fn is_id(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ambiguous_name_is_an_error_that_lists_the_ids() {
        let workspaces = serde_json::json!([{"id":"1","name":"a"},{"id":"2","name":"a"},{"id":"3","name":"b"}]);
        let error = pick(&workspaces, "a").unwrap_err();
        assert_eq!((error.exit, error.hint.as_deref()), (Exit::Usage, Some("give the id instead: 1, 2")));
        assert_eq!(pick(&workspaces, "b").unwrap(), "3");
        assert_eq!(pick(&workspaces, "c").unwrap_err().exit, Exit::NotFound);
    }

    #[test]
    fn only_the_shape_of_a_uuid_is_an_id() {
        assert!(is_id("018f3c2e-0000-7000-8000-00000000000A"));
        for text in ["writer", "018f3c2e-0000-7000-8000-00000000000", "018f3c2e-0000-7000-8000-00000000000g", ""] {
            assert!(!is_id(text), "{text}");
        }
    }
}
