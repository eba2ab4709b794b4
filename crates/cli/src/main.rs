//! The `portcullis` binary; everything it does is in the library beside it.

fn main() -> std::process::ExitCode {
    portcullis_cli::main()
}
