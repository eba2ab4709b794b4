//! `screenshots`: a picture of every page of the console, with something to show, at two sizes and in both themes. It is
//! the walk of the console's tests, with a camera.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{browser, clients, step};

/// Where pictures go unless another folder is named.
const FOLDER: &str = "target/screenshots";

/// The variable by which the tests of the console make pictures and nothing else.
const VARIABLE: &str = "PORTCULLIS_TEST_PICTURES";

pub fn run(arguments: &[String]) -> Result<(), String> {
    let folder = match arguments {
        [] => clients::root()?.join(FOLDER),
        [folder] => PathBuf::from(folder),
        _ => return Err("takes one folder, or none".to_owned()),
    };
    step::announce("browser", browser::ensure)?;
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    // Tests run in the directory of their package.
    let folder = folder.canonicalize().map_err(|error| format!("cannot find {}: {error}", folder.display()))?;
    let made = |folder: &Path| {
        let mut command = step::cargo();
        command.args(["test", "--quiet", "--package", "portcullis", "--test", "console"]).env(VARIABLE, folder);
        step::succeed(&mut command)
    };
    step::announce("pictures", || made(&folder))
}
