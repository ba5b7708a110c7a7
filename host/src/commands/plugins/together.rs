//! Asking several sources at the same time: the slowest one is waited for once, and a person sees which it is. Decides nothing.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::ui::Ui;

/// What answers sooner is not worth a line.
const SHOWN_AFTER: Duration = Duration::from_millis(300);

/// Asks everybody and returns the answers in the order of the questions, each of which goes to the source that is named beside it.
pub(crate) fn ask_all<Q: Send, A: Send>(
    ui: &Ui,
    questions: Vec<(String, Q)>,
    ask: impl Fn(Q) -> A + Sync,
) -> Vec<A> {
    let (sender, receiver) = mpsc::channel();
    let (mut open, mut answers) = (BTreeMap::new(), BTreeMap::new());
    thread::scope(|scope| {
        let ask = &ask;
        for (number, (name, question)) in questions.into_iter().enumerate() {
            open.insert(number, name);
            let sender = sender.clone();
            scope.spawn(move || {
                // Only a panic of this thread's owner ends the other side.
                let _ = sender.send((number, ask(question)));
            });
        }
        drop(sender);
        let waiting = ui.waiting();
        loop {
            match receiver.recv_timeout(SHOWN_AFTER) {
                Ok((number, answer)) => {
                    open.remove(&number);
                    answers.insert(number, answer);
                }
                Err(RecvTimeoutError::Timeout) => {
                    let mut names: Vec<&str> = open.values().map(String::as_str).collect();
                    names.dedup();
                    waiting.of(&format!("asking {}", names.join(", ")));
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    answers.into_values().collect()
}
