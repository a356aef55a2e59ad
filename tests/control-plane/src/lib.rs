//! A real Kubernetes control plane on loopback, for the tests and the demo: etcd, kube-apiserver
//! with RBAC and kube-controller-manager, started from one program that `go build` makes out of
//! their published Go modules.
//!
//! ```no_run
//! # async fn example() {
//! let control_plane = control_plane::ControlPlane::shared().await;
//! let client = control_plane.client().await;
//! # }
//! ```
//!
//! The components end with the [`ControlPlane`] that started them, also when the process is killed
//! or keeps it in a `static`: see `supervisor.sh`.
//!
//! Three delays are Kubernetes' own and have no setting: a namespace waits 5 s before its content
//! is deleted, and 8 s more each time that a finalizer still holds something in it; the garbage
//! collector notices a new kind within 30 s.

mod access;
mod audit;
mod error;
mod kubectl;
mod program;
mod progress;
mod start;
mod supervisor;

pub use access::client;
pub use audit::{AuditEntry, AuditReader};
pub use error::Error;
pub use kubectl::kubectl;
pub use program::program;
pub use start::Options;

use std::path::Path;

use supervisor::Supervisor;
use tokio::sync::OnceCell;

/// A running control plane. It ends when this is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    supervisor: Supervisor,
    api_url: String,
    admin_token: String,
    ca_pem: String,
}

impl ControlPlane {
    /// Starts a control plane and waits until it serves; builds its program first if need be.
    ///
    /// # Errors
    /// Where the program can't be built, or a component ends or isn't ready in time; the error
    /// shows the end of that component's log.
    pub async fn start(options: Options) -> Result<Self, Error> {
        start::start(&options).await
    }

    /// The control plane that all tests of this process share, with the audit log on. The first
    /// call starts it.
    ///
    /// # Panics
    /// Where it can't be started, with the reason.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();
        let shared = SHARED
            .get_or_init(async || Self::start(Options { audit: true }).await.map_err(|error| error.to_string()))
            .await;
        match shared {
            Ok(control_plane) => control_plane,
            Err(error) => panic!("the shared control plane: {error}"),
        }
    }

    /// Ends it, and returns when its processes and its folder are gone. Dropping it does the same
    /// but blocks the thread.
    pub async fn stop(self) {
        // It fails only where the runtime shuts down, which drops it all the same.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// The temporary folder with its data and each component's log.
    pub fn folder(&self) -> &Path {
        self.supervisor.folder()
    }
}
