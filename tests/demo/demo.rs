//! `make demo`: a real Kubernetes API server, a fake Athena and the operator, and a story that they
//! play, with a check behind each scene. `make playground`: the same stage, without the story.

mod playground;
#[path = "../shared/process.rs"]
mod process;
mod screen;
mod stage;
mod story;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use process::asked_to_stop;
use stage::Stage;
use tokio::time::timeout;

/// What goes wrong is said in one line, which ends the demo.
type Outcome<T = ()> = Result<T, String>;

/// The story takes half a minute; a machine that is busy needs more.
const STORY: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> ExitCode {
    let play = match std::env::args().nth(1).as_deref() {
        None => Play::Story,
        Some("--playground") => Play::Ground,
        Some(other) => return failed(&format!("{other} isn't an option; there is --playground")),
    };
    // The names of the manifests are those that a user types at the top of the repository.
    if let Err(error) = std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")) {
        return failed(&format!("{}: {error}", env!("CARGO_MANIFEST_DIR")));
    }
    let mut stage = None;
    let ended = tokio::select! {
        ended = perform(play, &mut stage) => Some(ended),
        () = asked_to_stop() => None,
    };
    if let Some(stage) = stage {
        if let Some(Err(_)) = &ended {
            stage.show_operator_log(20);
        }
        screen::note("\nStopping the operator, Athena and the control plane …");
        stage.stop().await;
    }
    match (ended, play) {
        (Some(Ok(())), _) | (None, Play::Ground) => ExitCode::SUCCESS,
        (Some(Err(problem)), _) => failed(&problem),
        (None, Play::Story) => failed("interrupted"),
    }
}

#[derive(Clone, Copy)]
enum Play {
    Story,
    Ground,
}

/// `stage` is the caller's, so that it is taken down in order whatever happens here.
async fn perform(play: Play, stage: &mut Option<Stage>) -> Outcome {
    let started = Instant::now();
    let stage = stage.insert(Stage::start().await?);
    match play {
        Play::Ground => playground::open(stage).await,
        Play::Story => {
            timeout(STORY, story::play(stage))
                .await
                .map_err(|_| format!("the story wasn't over after {STORY:?}"))??;
            screen::good(&format!("\nAll of it was checked, and held ({} s).", started.elapsed().as_secs()));
            Ok(())
        }
    }
}

fn failed(problem: &str) -> ExitCode {
    screen::bad(&format!("demo: FAILED: {problem}"));
    ExitCode::FAILURE
}
