//! What can go wrong.

use std::{io, path::PathBuf};

/// Why there is no control plane, or why it didn't do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no Go to build the program with.
    #[error(
        "Go wasn't found: install Go {0} or newer, which builds the control plane, or set CONTROL_PLANE to a program that is one"
    )]
    NoGo(&'static str),
    /// Go is too old to build the program.
    #[error(
        "{found} is too old: install Go {needed} or newer, which builds the control plane, or set CONTROL_PLANE to a program that is one"
    )]
    OldGo {
        /// What `go env GOVERSION` says.
        found: String,
        /// The oldest version that will do.
        needed: &'static str,
    },
    /// CONTROL_PLANE names nothing that could be run.
    #[error("CONTROL_PLANE names {}, which isn't a program", .0.display())]
    NotAProgram(PathBuf),
    /// `go build` failed; with its messages.
    #[error("go build of the control plane failed:\n{0}")]
    Build(String),
    /// A component lost the race for its port to another process.
    #[error("the port of {0} was taken by another process, again and again")]
    PortTaken(&'static str),
    /// A component ended while the control plane started.
    #[error("{component} ended while the control plane started; the end of its log:\n{log}")]
    Ended {
        /// The component's name.
        component: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A component wasn't ready in time.
    #[error("{component} wasn't ready within {seconds} s ({last}); the end of its log:\n{log}")]
    NotReady {
        /// The component's name.
        component: &'static str,
        /// How long it had.
        seconds: u64,
        /// What the last question was answered with.
        last: String,
        /// The end of its log.
        log: String,
    },
    /// The audit log was asked for, and [`Options`](crate::Options) has it off.
    #[error("this control plane was started without the audit log")]
    NoAudit,
    /// A file or a process.
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
    /// The API server's answer.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// A kubeconfig that kube can't use.
    #[error("the kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The key that signs ServiceAccount tokens couldn't be made.
    #[error("no key could be made for the ServiceAccount tokens")]
    Key,
}

impl Error {
    /// For `map_err`: says what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io(what, source)
    }
}
