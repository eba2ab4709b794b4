//! `matrix`: the page of who may do what, compared with the rules or, with `--accept`, written anew.

use crate::step;

pub fn run(arguments: &[String]) -> Result<(), String> {
    let accept = step::accept(arguments)?;
    step::succeed(step::snapshot(accept).args(["--package", "portcullis-kernel", "--test", "policy_matrix"]))
}
