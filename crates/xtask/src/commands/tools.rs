//! `tools`: what agents are told about their tools, compared with the code or, with `--accept`, written anew.

use crate::step;

pub fn run(arguments: &[String]) -> Result<(), String> {
    let accept = step::accept(arguments)?;
    let page = ["--package", "portcullis-service", "--test", "mcp", "the_page_of_the_tools_is_what_models_read"];
    step::succeed(step::snapshot(accept).args(page))
}
