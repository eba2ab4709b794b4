//! `refusals`: the published refusal codes, compared with the code or, with `--accept`, written anew.

use crate::step;

pub fn run(arguments: &[String]) -> Result<(), String> {
    let accept = step::accept(arguments)?;
    step::succeed(step::snapshot(accept).args(["--package", "portcullis-kernel", "--test", "refusals"]))?;
    let vectors = ["--package", "portcullis-service", "--lib", "the_published_vectors_are_the_bodies_that_are_sent"];
    step::succeed(step::snapshot(accept).args(vectors))
}
