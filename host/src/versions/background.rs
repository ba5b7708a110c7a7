//! Newer tables for the wizard, fetched while it begins: on a thread of its own, for at most two seconds. What comes later is not waited for, and
//! nobody's key is trusted here for the first time.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::adapter::Discovery;
use crate::error::{Failure, Finding};
use crate::paths::Machine;
use crate::plugins::store::Store;
use crate::plugins::tree::Signed;
use crate::ui::Ui;
use crate::versions::Tables;
use crate::versions::channel::{self, Channel};
use crate::versions::update::{self, Fetched};

/// How long the wizard waits, from the moment on at which the thread began.
const LIMIT: Duration = Duration::from_secs(2);

/// What answers sooner is not worth a line.
const SHOWN_AFTER: Duration = Duration::from_millis(150);

/// The work that goes on.
pub(crate) struct Background {
    begun: Instant,
    waiting: Vec<(Channel, Receiver<Result<Fetched, Failure>>)>,
}

impl Background {
    /// Begins to ask every channel.
    pub(crate) fn begin(machine: &Machine, discovery: &Discovery) -> Result<Self, Failure> {
        let candidates = discovery.all().into_iter();
        let adapters: BTreeSet<String> = candidates.map(|candidate| candidate.name).collect();
        let mut waiting = Vec::new();
        for channel in channel::all(machine)? {
            let (sender, receiver) = mpsc::channel();
            let (machine, asked, adapters) = (machine.clone(), channel.clone(), adapters.clone());
            std::thread::spawn(move || {
                // Nobody listens any more where it took too long.
                let _ = sender.send(update::fetch(&machine, &asked, &adapters));
            });
            waiting.push((channel, receiver));
        }
        Ok(Self {
            begun: Instant::now(),
            waiting,
        })
    }

    /// Takes what has come, and waits for the rest until the time is up. What did not come is said, and what is cached serves.
    pub(crate) async fn finish(
        self,
        machine: &Machine,
        discovery: &Discovery,
        ui: &Ui,
        tables: &mut Tables,
    ) -> Result<(), Failure> {
        for (channel, receiver) in self.waiting {
            let source = channel.source.name();
            let left = LIMIT.saturating_sub(self.begun.elapsed());
            let why = match wait(&receiver, left, ui, &source) {
                Ok(Ok(fetched)) if matches!(fetched.tree.signer, Signed::New(_)) => {
                    format!("the key of {source} was never confirmed")
                }
                Ok(Ok(mut fetched)) => match Store::new(machine).hold_now()? {
                    // Whoever sits before the wizard waits for no installation.
                    None => "another ztc changes what is installed".to_owned(),
                    Some(_hold) => {
                        for refusal in update::shown_to_adapters(discovery, ui, &mut fetched).await
                        {
                            ui.finding(&refused(&refusal));
                        }
                        update::save(machine, &fetched, &|_, _| {})?;
                        tables.say(&channel, format!("{source} has no newer one"));
                        tables.add(std::mem::take(&mut fetched.offers));
                        continue;
                    }
                },
                Ok(Err(failure)) => failure.message,
                Err(RecvTimeoutError::Timeout) => {
                    format!("{source} did not answer within {} seconds", LIMIT.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => format!("asking {source} broke off"),
            };
            let finding = Finding::warning(format!("no newer versions were fetched: {why}"));
            ui.finding(
                &finding.help(
                    "`ztc update-versions` tries again and says more; `--offline` does not try",
                ),
            );
        }
        Ok(())
    }
}

/// Waits for an answer. A person sees what for, instead of an empty screen.
fn wait<T>(
    receiver: &Receiver<T>,
    left: Duration,
    ui: &Ui,
    source: &str,
) -> Result<T, RecvTimeoutError> {
    let waiting = ui.waiting();
    let until = Instant::now() + left;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(SHOWN_AFTER)) {
            Err(RecvTimeoutError::Timeout) if !left.is_zero() => {
                waiting.of(&format!("asking {source} for newer versions"));
            }
            answer => return answer,
        }
    }
}

/// Says that an adapter does not take a table.
pub(crate) fn refused(refusal: &update::Refusal) -> Finding {
    let update::Refusal {
        adapter,
        serial,
        failure,
    } = refusal;
    Finding::warning(format!(
        "table {serial} of the versions of `{adapter}` is left out: {}",
        failure.message
    ))
    .help("tell the publisher of the channel; the adapter goes on with the table that it had")
}
