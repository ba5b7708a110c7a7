//! Ctrl-C and other wishes to end while adapters are installed. A server may take its time, and whoever waits for it hears of nothing else: so the
//! wishes are heard beside it. What has come of a download goes, the bar goes, and it is said what was installed; what is being put in its place
//! is put there first.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};

use crate::commands::{interrupt, wait_for_all_of};
use crate::error::{Exit, Failure};
use crate::plugins::index::and;
use crate::ui::Ui;

/// Ends the program when somebody wishes it, until it is dropped.
pub(crate) struct Stop {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// What clears the bar.
    clear: Option<Box<dyn Fn() + Send>>,
    installed: Vec<String>,
}

/// What goes on.
#[derive(Debug, Default, PartialEq)]
enum Phase {
    /// Nothing that would have to be undone.
    #[default]
    Looking,
    /// Bytes come into a file.
    Coming(PathBuf),
    /// They have come, and what is installed changes: that is waited for.
    Changing,
    /// It is over: others hear of wishes.
    Over,
}

impl Stop {
    /// Listens. Where that cannot be, a wish ends the program as it always does.
    pub(crate) fn listen(ui: &Ui) -> Self {
        let shared = Arc::<Shared>::default();
        let (theirs, ui) = (Arc::clone(&shared), ui.clone());
        let (ready, is_ready) = mpsc::channel();
        let listening = std::thread::Builder::new().spawn(move || {
            let wished = wait_for_all_of(async {
                let mut wishes = interrupt::wishes()?;
                let _ = ready.send(());
                Ok(wishes.recv().await.is_some())
            });
            if wished.is_ok_and(|wished| wished) {
                theirs.end(&ui);
            }
        });
        if let Err(error) = listening {
            tracing::debug!("nobody listens for wishes to end: {error}");
        }
        // From here on a wish is heard. Where nobody listens, nothing comes either.
        let _ = is_ready.recv();
        Self { shared }
    }

    /// What clears the bar that is on the screen.
    pub(crate) fn shows(&self, clear: impl Fn() + Send + 'static) {
        self.shared.state().clear = Some(Box::new(clear));
    }

    /// Bytes begin to come into a file.
    pub(crate) fn begins(&self, path: &Path) {
        self.shared.state().phase = Phase::Coming(path.to_owned());
    }

    /// They have come. Whoever wishes the end from here on waits for [`Stop::settles`].
    pub(crate) fn has_come(&self) {
        self.shared.state().phase = Phase::Changing;
    }

    /// What is installed was changed, or nothing was.
    pub(crate) fn settles(&self, installed: Option<&str>) {
        let mut state = self.shared.state();
        state.phase = Phase::Looking;
        state.installed.extend(installed.map(str::to_owned));
        self.shared.settled.notify_all();
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.shared.state().phase = Phase::Over;
        self.shared.settled.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what was done, and ends the program. Meanwhile nobody goes on from one phase to the next.
    #[expect(
        clippy::disallowed_methods,
        reason = "the main thread waits for a server, and nothing else can end it"
    )]
    fn end(&self, ui: &Ui) {
        let changing = |state: &mut State| state.phase == Phase::Changing;
        let waited = self.settled.wait_while(self.state(), changing);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.phase == Phase::Over {
            return;
        }
        if let Some(clear) = &state.clear {
            clear();
        }
        if let Phase::Coming(path) = &state.phase {
            // Where that fails, the next installation removes it.
            let _ = std::fs::remove_file(path);
        }
        ui.failure(&interrupted(&state.installed));
        std::process::exit(Exit::Interrupted.code().into());
    }
}

fn interrupted(installed: &[String]) -> Failure {
    let installed: Vec<&str> = installed.iter().map(String::as_str).collect();
    let message = match installed.as_slice() {
        [] => "interrupted; nothing was installed".to_owned(),
        [one] => format!("interrupted; {one} was installed, and nothing else"),
        all => format!("interrupted; {} were installed, and nothing else", and(all)),
    };
    Failure::new(Exit::Interrupted, message).help("start again with the same command")
}
