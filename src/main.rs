//! The program `hydrogen`: a thin door to [`hydrogen::cli`].

fn main() -> std::process::ExitCode {
    hydrogen::cli::main()
}
