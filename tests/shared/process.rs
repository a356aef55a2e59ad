//! What programs that play with the operator need of their process: `make demo` and `make bench`.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

/// A program of this workspace: cargo builds examples into a folder beside the programs. `how` says how it is built.
pub fn beside_this(name: &str, how: &str) -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| format!("this program's path: {error}"))?;
    let program = this.ancestors().nth(2).unwrap_or(Path::new(".")).join(name);
    if program.exists() { Ok(program) } else { Err(format!("{} isn't built: use {how}", program.display())) }
}

/// Returns when Ctrl-C, SIGTERM or SIGHUP asks for the end.
pub async fn asked_to_stop() {
    let ask = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            // Without a handler the signal ends the process by itself.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = ask(SignalKind::interrupt()) => {}
        () = ask(SignalKind::terminate()) => {}
        () = ask(SignalKind::hangup()) => {}
    }
}
