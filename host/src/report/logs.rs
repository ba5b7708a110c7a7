//! Reads logs for a report: the beginning and the end of a long one, readable, in constant memory.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::mask::Mask;
use crate::report::model::{Log, RunReport, Status};

/// How much of one log a report holds at most; of one that failed, and of any other.
const CEILINGS: (u64, u64) = (256 * 1024, 64 * 1024);

/// How much of all logs together; then each gets its share, but never less than the floor.
const TOTAL: u64 = 12 * 1024 * 1024;
const FLOOR: u64 = 4 * 1024;

/// The part of what is kept that is taken from the beginning.
const BEGINNING: u64 = 4;

/// Reads the logs of all tasks.
pub(super) fn fill(report: &mut RunReport, root: &Path, mask: &Mask) {
    let count = report.tasks().filter(|task| task.log.is_some()).count() as u64;
    let share = (TOTAL / count.max(1)).max(FLOOR);
    for task in report.stages.iter_mut().flat_map(|stage| &mut stage.tasks) {
        let ceiling = match task.status {
            Status::Failed | Status::Lost => CEILINGS.0,
            _ => CEILINGS.1,
        };
        if let Some(log) = &mut task.log {
            read(log, &root.join(&log.path), ceiling.min(share), mask);
        }
    }
}

fn read(log: &mut Log, path: &Path, ceiling: u64, mask: &Mask) {
    let Ok(mut file) = File::open(path) else {
        return;
    };
    let Ok(bytes) = file.metadata().map(|metadata| metadata.len()) else {
        return;
    };
    let head = if bytes <= ceiling {
        bytes
    } else {
        ceiling / BEGINNING
    };
    let tail = if bytes <= ceiling { 0 } else { ceiling - head };
    let mut part = |from: u64, length: u64| {
        let mut content = Vec::new();
        let read = file
            .seek(SeekFrom::Start(from))
            .and_then(|_| file.by_ref().take(length).read_to_end(&mut content));
        read.map(|_| content).unwrap_or_default()
    };
    let text = |content: &[u8]| mask.apply(&readable(&String::from_utf8_lossy(content)));
    log.bytes = Some(bytes);
    let mut beginning = part(0, head);
    if tail == 0 {
        log.parts = vec![text(&beginning)];
        return;
    }
    let mut end = part(bytes - tail, tail);
    // Whole lines, where there are lines.
    if let Some(newline) = beginning.iter().rposition(|byte| *byte == b'\n') {
        beginning.truncate(newline + 1);
    }
    if let Some(newline) = end.iter().position(|byte| *byte == b'\n') {
        end.drain(..=newline);
    }
    log.left_out = bytes.saturating_sub((beginning.len() + end.len()) as u64);
    log.parts = vec![text(&beginning), text(&end)];
}

/// Takes out what a page cannot show: escape sequences, control characters, and what a carriage return wrote over.
fn readable(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line
            .strip_suffix('\n')
            .map_or((line, ""), |line| (line, "\n"));
        let line = line.trim_end_matches('\r');
        let line = line.rsplit('\r').next().unwrap_or(line);
        let line = console::strip_ansi_codes(line);
        result.extend(line.chars().filter(|c| *c == '\t' || !c.is_control()));
        result.push_str(end);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(content: &[u8], ceiling: u64) -> Log {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        std::fs::write(&path, content).unwrap();
        let mask = Mask::default();
        mask.add("token", "hunter2-hunter2");
        let mut log = Log::default();
        read(&mut log, &path, ceiling, &mask);
        log
    }

    #[test]
    fn a_short_log_is_whole_readable_and_masked() {
        let log = log(
            b"one\n 10%\r 20%\r\n\x1b[31mred\x1b[0m hunter2-hunter2\n",
            1000,
        );
        assert_eq!(
            (log.bytes, log.left_out, log.parts),
            (Some(44), 0, vec!["one\n 20%\nred ********\n".to_owned()])
        );
    }

    #[test]
    fn of_a_long_log_beginning_and_end_are_kept() {
        let lines: String = (0..100)
            .map(|number| format!("line {number:03}\n"))
            .collect();
        let log = log(lines.as_bytes(), 100);
        assert_eq!(
            (log.bytes, log.left_out, log.parts),
            (
                Some(900),
                900 - 18 - 72,
                vec![
                    "line 000\nline 001\n".to_owned(),
                    (92..100)
                        .map(|number| format!("line {number:03}\n"))
                        .collect()
                ]
            )
        );
    }

    #[test]
    fn a_log_that_is_gone_has_no_size() {
        let mut log = Log::default();
        read(&mut log, Path::new("/nowhere/a.log"), 10, &Mask::default());
        assert_eq!(log, Log::default());
    }
}
