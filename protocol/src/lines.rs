//! Bytes of a stream cut into lines with a limit. No I/O: whoever reads pushes what it read.
//!
//! A line over the limit costs no more memory than the limit, and the lines after it arrive as if it had not been there.

/// One line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The bytes without the `\n`; of a line over the limit, its beginning.
    pub bytes: Vec<u8>,
    /// Whether these are all bytes of the line.
    pub whole: bool,
}

/// Collects bytes and gives lines.
#[derive(Debug)]
pub struct LineBuffer {
    limit: usize,
    /// Bytes that were pushed and not yet given out.
    bytes: Vec<u8>,
    /// Where the first line that was not given out starts.
    start: usize,
    /// Up to where no `\n` was found.
    searched: usize,
    /// Whether the rest of a line over the limit is being skipped.
    skipping: bool,
}

impl LineBuffer {
    /// Makes an empty buffer for lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: Vec::new(),
            start: 0,
            searched: 0,
            skipping: false,
        }
    }

    /// Adds what was read. Take all lines out before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next line out.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            let found = self.bytes[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n')
                .map(|at| self.searched + at);
            let Some(end) = found else {
                self.searched = self.bytes.len();
                return self.cut();
            };
            let line = self.start..end;
            (self.start, self.searched) = (end + 1, end + 1);
            if !std::mem::take(&mut self.skipping) {
                let whole = line.len() <= self.limit;
                let bytes = self.bytes[line.start..line.end.min(line.start + self.limit)].to_vec();
                return Some(Line { bytes, whole });
            }
        }
    }

    /// The line that has begun and not ended: all that [`next_line`](Self::next_line) still waits to complete.
    pub fn begun(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Takes out what the stream ended with, where that was not a whole line.
    pub fn rest(&mut self) -> Option<Line> {
        let bytes = self.bytes.split_off(self.start);
        *self = Self {
            skipping: false,
            ..Self::new(self.limit)
        };
        (!bytes.is_empty()).then_some(Line {
            bytes,
            whole: false,
        })
    }

    /// Gives up a line that is over the limit already although its end was not seen.
    fn cut(&mut self) -> Option<Line> {
        if self.skipping {
            self.start = self.bytes.len();
            return None;
        }
        if self.bytes.len() - self.start <= self.limit {
            return None;
        }
        let bytes = self.bytes[self.start..self.start + self.limit].to_vec();
        self.skipping = true;
        self.start = self.bytes.len();
        Some(Line {
            bytes,
            whole: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes the text in pieces of every size and compares the lines; `…` marks one that is not whole.
    #[track_caller]
    fn check(text: &str, limit: usize, expected: &[&str]) {
        for size in 1..=text.len() {
            let mut buffer = LineBuffer::new(limit);
            let mut lines = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                buffer.push(piece);
                while let Some(line) = buffer.next_line() {
                    lines.push(line);
                }
            }
            lines.extend(buffer.rest());
            let shown = lines.iter().map(|line| {
                format!(
                    "{}{}",
                    String::from_utf8_lossy(&line.bytes),
                    if line.whole { "" } else { "…" }
                )
            });
            assert_eq!(shown.collect::<Vec<_>>(), expected, "pieces of {size}");
        }
    }

    #[test]
    fn lines_come_out_whatever_the_pieces() {
        check("one\n\nthree\n", 5, &["one", "", "three"]);
        check("one\ntw", 5, &["one", "tw…"]);
        check("\n", 5, &[""]);
    }

    #[test]
    fn what_has_begun_can_be_seen() {
        let mut buffer = LineBuffer::new(100);
        assert_eq!(buffer.begun(), b"");
        buffer.push(b"one\ntw");
        assert!(buffer.next_line().is_some() && buffer.next_line().is_none());
        assert_eq!(buffer.begun(), b"tw");
        buffer.push(b"o\n");
        assert!(buffer.next_line().is_some());
        assert_eq!(buffer.begun(), b"");
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_the_next_one_is_whole() {
        check("123456\n12345\nxy", 5, &["12345…", "12345", "xy…"]);
        check("1234567890123\n1\n", 5, &["12345…", "1"]);
        check("1234567890123", 5, &["12345…"]);
    }
}
