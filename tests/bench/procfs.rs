//! What a process uses, as Linux counts it.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use crate::Outcome;

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// The memory in use now, in bytes.
    pub rss: u64,
    /// The most that ever was, in bytes.
    pub peak_rss: u64,
    /// Processor time of all threads, in seconds.
    pub cpu: f64,
}

/// What the process has used so far.
pub fn usage(pid: u32) -> Outcome<Usage> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    };
    let (status, stat) = (read("status")?, read("stat")?);
    let bytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| format!("/proc/{pid}/status has no {field}"))
    };
    // The name, in parentheses, may have spaces; utime and stime are fields 14 and 15, of which two come before.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = after_name.split_whitespace().skip(11).take(2).filter_map(|it| it.parse().ok()).collect();
    match ticks[..] {
        [user, system] => {
            let cpu = (user + system) / ticks_a_second();
            Ok(Usage { rss: bytes("VmRSS")?, peak_rss: bytes("VmHWM")?, cpu })
        }
        _ => Err(format!("/proc/{pid}/stat has no times")),
    }
}

/// How many descriptors the process has open.
pub fn descriptors(pid: u32) -> Outcome<usize> {
    let path = format!("/proc/{pid}/fd");
    fs::read_dir(&path).map(Iterator::count).map_err(|error| format!("{path}: {error}"))
}

fn ticks_a_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let said = Command::new("getconf").arg("CLK_TCK").output().ok();
        let number = said.and_then(|said| String::from_utf8(said.stdout).ok()?.trim().parse().ok());
        // What every Linux of today says.
        number.unwrap_or(100.0)
    })
}
