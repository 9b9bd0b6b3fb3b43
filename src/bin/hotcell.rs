//! The program `hotcell`. The work is in `hotcell::cli`.

fn main() -> std::process::ExitCode {
    // As a helper of another hotcell it does not come back.
    hotcell::image::unpack::serve_if_asked();
    hotcell::cli::main()
}
