//! Writes the metrics of a run to a file while it goes on: in one step, at every change, at most once a second, and at the end.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::atomic;
use crate::error::Failure;
use crate::pipeline::event::Record;
use crate::pipeline::journal;
use crate::report::build::{Liveness, build};
use crate::report::metrics::metrics;

/// How far apart two writings are.
const APART: Duration = Duration::from_secs(1);

/// Takes the records of a run.
pub struct Meter {
    records: Option<mpsc::Sender<Record>>,
    writer: Option<JoinHandle<Result<(), Failure>>>,
}

impl Meter {
    /// Makes sure that the file can be written, before anything runs.
    pub fn open(file: &Path) -> Result<Self, Failure> {
        let file = std::path::absolute(file).map_err(|error| Failure::io("write", file, &error))?;
        atomic::public(&file, "").map_err(|failure| {
            failure.help("give `--metrics-file` a file in a directory that you may write to")
        })?;
        let (records, heard) = mpsc::channel();
        Ok(Self {
            records: Some(records),
            writer: Some(std::thread::spawn(move || {
                write(APART, &heard, |records| put(&file, records))
            })),
        })
    }

    /// Takes a record.
    pub fn add(&self, record: &Record) {
        if let Some(records) = &self.records {
            let _ = records.send(record.clone());
        }
    }

    /// Writes the last state and returns what went wrong.
    pub fn close(mut self) -> Result<(), Failure> {
        self.records = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(Failure::failed("the metrics were not written")),
        }
    }
}

/// Puts what was heard until nothing more comes: the first record at once, others when so much time has passed since the last time, and
/// everything at the end.
fn write(
    apart: Duration,
    heard: &mpsc::Receiver<Record>,
    mut put: impl FnMut(&[Record]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut records, mut last, mut due) = (Vec::new(), None::<Instant>, false);
    loop {
        let next = match due {
            true => heard.recv_timeout(
                last.map_or(Duration::ZERO, |last| apart.saturating_sub(last.elapsed())),
            ),
            false => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(record) => {
                records.push(record);
                due = true;
            }
            Err(RecvTimeoutError::Timeout) => {
                // What cannot be written now may be at the end, where it is said.
                let _ = put(&records);
                (last, due) = (Some(Instant::now()), false);
            }
            Err(RecvTimeoutError::Disconnected) => return put(&records),
        }
    }
}

fn put(file: &Path, records: &[Record]) -> Result<(), Failure> {
    match build(records, &Liveness::Live(journal::now())) {
        Some(report) => atomic::public(file, &metrics(&report)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::event::{Event, Outcome, VERSION};

    fn record(seq: u64) -> Record {
        Record {
            v: VERSION,
            run: "R".into(),
            seq,
            at: "2026-01-01T00:00:00Z".into(),
            event: Event::RunFinished {
                outcome: Outcome::Succeeded,
                seconds: 0.0,
            },
        }
    }

    /// How many records each writing has: one record, then more once that is written, then the end.
    fn writings(apart: Duration, more: u64) -> Vec<usize> {
        let (records, heard) = mpsc::channel();
        let (wrote, written) = mpsc::channel();
        let writer = std::thread::spawn(move || {
            write(apart, &heard, |records| {
                let _ = wrote.send(records.len());
                Ok(())
            })
        });
        records.send(record(0)).unwrap();
        let first = written.recv().unwrap();
        for seq in 1..=more {
            records.send(record(seq)).unwrap();
        }
        drop(records);
        writer.join().unwrap().unwrap();
        std::iter::once(first).chain(written).collect()
    }

    #[test]
    fn much_that_happens_at_once_is_written_once() {
        assert_eq!(writings(Duration::from_secs(3600), 1000), [1, 1001]);
    }

    #[test]
    fn what_happens_last_is_written_at_once() {
        assert_eq!(writings(Duration::from_secs(3600), 0), [1, 1]);
    }
}
