//! `completions`

use clap::CommandFactory;

use crate::args::Cli;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

pub fn run(context: &Context, shell: clap_complete::Shell) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
    context.output.raw(&script)?;
    Ok(Exit::Ok)
}
