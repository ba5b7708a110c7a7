//! What a stage prints, on its way to the log: secrets taken out even where two reads split them, the last lines kept, memory constant.

use std::collections::VecDeque;

use crate::mask::{MASK, SHORTEST};

/// How many lines are kept for people.
pub const LAST_LINES: usize = 20;

/// How much of one line is kept for people, in bytes; the log has all of it.
const LINE_BYTES: usize = 500;

/// How many bytes without a look of their own may stand within a value, such as the colors of `grep`.
const BETWEEN: usize = 256;

/// What a script prints before the likely cause of its failure.
const CAUSE: &str = "ZTC_CAUSE:";

/// Takes secret values out of a stream of bytes, however it is cut and colored: what a terminal does not show may stand within a value. It holds
/// back only what may be the beginning of a value.
pub struct Masker {
    /// Values by their first byte, the longest first.
    values: Vec<Vec<Vec<u8>>>,
    held: Vec<u8>,
    /// Whether there is no value at all.
    idle: bool,
}

impl Masker {
    /// Takes the values.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut masker = Self {
            values: Vec::new(),
            held: Vec::new(),
            idle: true,
        };
        for value in values {
            if let Some(first) = value.as_bytes().first() {
                masker.idle = false;
                masker.values.resize(256, Vec::new());
                masker.values[usize::from(*first)].push(value.as_bytes().to_vec());
            }
        }
        for values in &mut masker.values {
            values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        }
        masker
    }

    /// Takes the next bytes and writes what is certain to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.idle {
            out.extend_from_slice(bytes);
            return;
        }
        if self.held.is_empty() {
            let rest = self.scan(bytes, out);
            self.held.extend_from_slice(&bytes[rest..]);
            return;
        }
        let mut joined = std::mem::take(&mut self.held);
        joined.extend_from_slice(bytes);
        let rest = self.scan(&joined, out);
        self.held.extend_from_slice(&joined[rest..]);
    }

    /// Ends the stream. The beginning of a value at its very end is masked too, unless it is too short to tell anything.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        while !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            if held.len() >= SHORTEST {
                out.extend_from_slice(MASK.as_bytes());
                return;
            }
            out.push(held[0]);
            let rest = self.scan(&held[1..], out) + 1;
            self.held = held[rest..].to_vec();
        }
    }

    /// Writes what is certain and returns where the rest begins.
    fn scan(&self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let (mut at, mut copied) = (0, 0);
        while at < bytes.len() {
            let rest = &bytes[at..];
            let candidates = self.values[usize::from(bytes[at])].iter();
            let found = candidates
                .map(|value| compare(rest, value))
                .find(|found| *found != Found::Nothing);
            match found {
                None | Some(Found::Nothing) => at += 1,
                Some(Found::Whole { length, between }) => {
                    out.extend_from_slice(&bytes[copied..at]);
                    out.extend_from_slice(MASK.as_bytes());
                    out.extend(between);
                    at += length;
                    copied = at;
                }
                Some(Found::Beginning) => break,
            }
        }
        out.extend_from_slice(&bytes[copied..at]);
        at
    }
}

/// What a stream has in common with a value.
#[derive(PartialEq, Eq)]
enum Found {
    /// Not the value.
    Nothing,
    /// The stream ends within the value.
    Beginning,
    /// The value, so many bytes of the stream, with these bytes within it that a terminal does not show.
    Whole { length: usize, between: Vec<u8> },
}

/// Compares the beginning of a stream with a value.
fn compare(stream: &[u8], value: &[u8]) -> Found {
    let (mut at, mut between) = (0, Vec::new());
    for (number, byte) in value.iter().enumerate() {
        loop {
            match stream.get(at) {
                None => return Found::Beginning,
                Some(next) if next == byte => break,
                Some(_) if number == 0 || between.len() > BETWEEN => return Found::Nothing,
                Some(_) => match unseen(&stream[at..]) {
                    Some(0) => return Found::Nothing,
                    Some(length) => {
                        between.extend_from_slice(&stream[at..at + length]);
                        at += length;
                    }
                    None if stream.len() - at > BETWEEN => return Found::Nothing,
                    None => return Found::Beginning,
                },
            }
        }
        at += 1;
    }
    Found::Whole {
        length: at,
        between,
    }
}

/// Returns how many of the first bytes a terminal does not show: an escape sequence (ECMA-48) or a control character other than the end of a line.
/// Nothing: the sequence goes on behind the bytes.
fn unseen(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0x1b, b'[', rest @ ..] => {
            let parameters = rest.iter().take_while(|byte| (0x20..0x40).contains(*byte));
            let length = 2 + parameters.count();
            (length < bytes.len()).then_some(length + 1)
        }
        [0x1b, b']', rest @ ..] => {
            // It ends with BEL, or with ESC and a backslash.
            let end = rest.iter().position(|byte| matches!(byte, 0x07 | 0x1b))?;
            let length = 2 + end + if rest[end] == 0x07 { 1 } else { 2 };
            (length <= bytes.len()).then_some(length)
        }
        [0x1b, _, ..] => Some(2),
        [0x1b] => None,
        [byte, ..] if *byte != b'\n' && byte.is_ascii_control() => Some(1),
        _ => Some(0),
    }
}

/// The last lines of a stream and the likely cause that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    lines: VecDeque<String>,
    line: Vec<u8>,
    cause: Option<String>,
}

impl Tail {
    /// Takes masked bytes and calls `on_line` for every line that is complete; where very many come at once, for the last of them.
    pub fn feed(&mut self, bytes: &[u8], mut on_line: impl FnMut(&str)) {
        let count = bytes.iter().filter(|byte| **byte == b'\n').count();
        let passed_over = count.saturating_sub(2 * LAST_LINES);
        for (number, piece) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let (text, complete) = piece
                .strip_suffix(b"\n")
                .map_or((piece, false), |text| (text, true));
            // The first line of the bytes may have begun before them.
            if (1..passed_over).contains(&number) && !text.starts_with(CAUSE.as_bytes()) {
                continue;
            }
            let room = LINE_BYTES.saturating_sub(self.line.len()).min(text.len());
            self.line.extend_from_slice(&text[..room]);
            if complete {
                self.end_line(&mut on_line);
            }
        }
    }

    /// Ends the stream: what follows the last newline is a line too.
    pub fn finish(&mut self, mut on_line: impl FnMut(&str)) {
        if !self.line.is_empty() {
            self.end_line(&mut on_line);
        }
    }

    fn end_line(&mut self, on_line: &mut impl FnMut(&str)) {
        let mut line = readable(&String::from_utf8_lossy(&self.line));
        if self.line.len() == LINE_BYTES {
            line.push('…');
        }
        self.line.clear();
        if let Some(cause) = line.strip_prefix(CAUSE) {
            self.cause = Some(cause.trim().to_owned());
        }
        on_line(&line);
        if line.starts_with(CAUSE) {
            return;
        }
        if self.lines.len() == LAST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The last lines, without the one that names the cause.
    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }

    /// The likely cause.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

/// Returns a line without what could play tricks on a terminal: only the text after the last carriage return, no escape sequences.
fn readable(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    console::strip_ansi_codes(line)
        .chars()
        .filter(|c| *c == '\t' || !c.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALUES: [&str; 4] = [
        "hunter2-hunter2",
        "hunter2-hunter3!",
        "aaaaaab",
        "line one\nline two",
    ];

    fn masked(pieces: &[&[u8]]) -> String {
        let mut masker = Masker::new(VALUES);
        let mut out = Vec::new();
        for piece in pieces {
            masker.feed(piece, &mut out);
        }
        masker.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_is_found_however_the_stream_is_cut() {
        let text = b"x hunter2-hunter2 hunter2-hunter3! aaaaaaaab line one\nline two.";
        for cut in 0..=text.len() {
            for second in cut..=text.len() {
                let pieces = [&text[..cut], &text[cut..second], &text[second..]];
                assert_eq!(
                    masked(&pieces),
                    "x ******** ******** aa******** ********.",
                    "{cut} {second}"
                );
            }
        }
    }

    #[test]
    fn the_beginning_of_a_value_is_held_back_and_nothing_else() {
        let mut masker = Masker::new(VALUES);
        let mut out = Vec::new();
        masker.feed(b"one hunt", &mut out);
        assert_eq!(out, b"one ");
        masker.feed(b"ing\n", &mut out);
        assert_eq!(out, b"one hunting\n");
        masker.feed(b"hunter2-hun", &mut out);
        masker.finish(&mut out);
        assert_eq!(out, b"one hunting\n********");
    }

    #[test]
    fn a_value_is_found_through_what_a_terminal_does_not_show() {
        let red = "hun\x1b[01;31m\x1b[Kter\x1b[m\x1b[K2-hunter2";
        let link = "hunter\x1b]8;;there\x1b\\2-hunter2";
        for (text, expected) in [
            (red, "********\x1b[01;31m\x1b[K\x1b[m\x1b[K"),
            (link, "********\x1b]8;;there\x1b\\"),
            ("hunter2\r-hunter2", "********\r"),
            ("hunter2\x01-hunter2", "********\x01"),
            ("hunter2\n-hunter2", "hunter2\n-hunter2"),
            ("hunter2\x1b[1mX", "hunter2\x1b[1mX"),
        ] {
            let text = format!("<{text}>");
            for cut in 0..=text.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                assert_eq!(masked(&[first, second]), format!("<{expected}>"), "{cut}");
            }
        }
        // What is held back is not without limit.
        let mut masker = Masker::new(VALUES);
        let mut out = Vec::new();
        for _ in 0..100 {
            masker.feed(b"hunter2\x1b[", &mut out);
            masker.feed(&[b'1'; 1000], &mut out);
        }
        assert!(out.len() >= 100 * 1000, "{}", out.len());
    }

    proptest! {
        #[test]
        fn without_a_value_every_byte_passes(text in "[ahunter2\\-\n]{0,60}", cut in 0usize..60) {
            prop_assume!(VALUES.iter().all(|value| !text.contains(value)));
            let cut = cut.min(text.len());
            let mut masker = Masker::new(VALUES);
            let mut out = Vec::new();
            masker.feed(&text.as_bytes()[..cut], &mut out);
            masker.feed(&text.as_bytes()[cut..], &mut out);
            masker.feed(b"~", &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), text + "~");
        }
    }

    #[test]
    fn the_last_lines_are_kept_readable() {
        let mut tail = Tail::default();
        let mut seen = 0;
        for number in 0..30 {
            tail.feed(format!("line {number}\n").as_bytes(), |_| seen += 1);
        }
        tail.feed(
            b"ZTC_CAUSE: the disk is full\n 10%\r 20%\r\n\x1b[31mred\x1b[0m \x07bell",
            |_| seen += 1,
        );
        tail.finish(|_| seen += 1);
        let mut expected: Vec<String> = (12..30).map(|number| format!("line {number}")).collect();
        expected.extend([" 20%".to_owned(), "red bell".to_owned()]);
        assert_eq!(
            (tail.lines(), tail.cause(), seen),
            (expected, Some("the disk is full"), 33)
        );
    }

    #[test]
    fn of_very_many_lines_at_once_the_last_and_the_cause_are_kept() {
        let mut text = "half".to_owned();
        let mut tail = Tail::default();
        tail.feed(b"the first ", |_| ());
        for number in 0..1000 {
            text += &format!(" line {number}\n");
            if number == 500 {
                text += "ZTC_CAUSE: the disk is full\n";
            }
        }
        let mut seen = Vec::new();
        tail.feed(text.as_bytes(), |line| seen.push(line.to_owned()));
        assert_eq!(seen.first().unwrap(), "the first half line 0");
        assert_eq!(seen.last().unwrap(), " line 999");
        assert_eq!(seen.len(), 42);
        assert_eq!(
            (tail.lines().len(), tail.cause()),
            (20, Some("the disk is full"))
        );
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut tail = Tail::default();
        for _ in 0..1000 {
            tail.feed(&[b'x'; 10_000], |_| ());
        }
        tail.finish(|_| ());
        assert_eq!(tail.lines(), ["x".repeat(LINE_BYTES) + "…"]);
    }
}
