//! The program. Its code stands in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    athena_session_operator::main()
}
