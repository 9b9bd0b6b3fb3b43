//! The program `hotcell`. The work is in `hotcell::cli`.

fn main() -> std::process::ExitCode {
    hotcell::cli::main()
}
