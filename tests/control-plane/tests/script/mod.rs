//! Programs that stand in for others.

use std::{path::Path, process::Command};

/// Writes an executable script. Another process does it: a file that this one has open for writing
/// may be inherited by what another test starts just then, and can't be run as long.
pub(crate) fn write_script(path: &Path, lines: &str) {
    let status = Command::new("sh")
        .args(["-c", "printf '#!/bin/sh\n%s\n' \"$1\" >\"$0\" && chmod 700 \"$0\""])
        .arg(path)
        .arg(lines)
        .status()
        .unwrap();
    assert!(status.success());
}
