//! The program `hotcell-oci`: an OCI runtime for container engines. The work is in `hotcell::oci`.

fn main() -> std::process::ExitCode {
    hotcell::oci::main()
}
