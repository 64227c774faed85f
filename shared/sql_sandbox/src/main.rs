//! The sandbox process: serves one session on its standard input and output, then ends.

use std::process::ExitCode;

use isotherm_sql_sandbox::{confine, session};

fn main() -> ExitCode {
    let serve = |()| session::serve(&mut std::io::stdin().lock(), &mut std::io::stdout().lock());
    match confine::close_inherited().and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The code only: a message could quote users' SQL.
            eprintln!(
                "{{\"level\":\"ERROR\",\"message\":\"the session ended early\",\"error.code\":\"{}\"}}",
                error.code()
            );
            ExitCode::FAILURE
        }
    }
}
