//! The `keyhole` command. Everything is in the library; this only dispatches.

fn main() -> std::process::ExitCode {
    keyhole::cmd::main()
}
