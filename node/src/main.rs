//! The `vouchsafe` program. It uses nothing but the public library: what it can do, an embedding application can.

mod cli;
mod devnet;
#[cfg(feature = "sim")]
mod sim;
mod telemetry;

fn main() -> std::process::ExitCode {
    cli::main()
}
