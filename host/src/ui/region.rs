//! The lines at the bottom of a terminal that are drawn again and again while something goes on.
//!
//! Everything that is printed meanwhile goes above them. They survive a resize, and nothing of them stays behind at the end. The terminal's
//! modes are never changed: whatever kills ztc, there is nothing to put right. What is typed meanwhile is seen until the next drawing.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use console::{Term, measure_text_width};

use crate::mask::Mask;

/// How often the lines are drawn.
const EVERY: Duration = Duration::from_millis(200);

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How wide it is.
    pub columns: usize,
    /// How high it is.
    pub rows: usize,
}

type Frame = Box<dyn FnMut(Size) -> Vec<String> + Send>;

/// The region; clones share it.
#[derive(Clone, Default)]
pub(super) struct Region(Arc<Mutex<Option<Painter>>>);

struct Painter {
    term: Term,
    frame: Frame,
    mask: Mask,
    /// The lines that stand there.
    drawn: Vec<String>,
    /// The width of the terminal when they were drawn.
    columns: usize,
    /// How many wait until they have the terminal for themselves no more.
    held: usize,
}

/// A region that is drawn until this is dropped.
pub struct Live {
    region: Region,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The terminal without the region until this is dropped.
pub struct Hold(Region);

impl Region {
    /// Begins to draw.
    pub(super) fn start(&self, mask: Mask, frame: Frame) -> Live {
        *self.lock() = Some(Painter {
            term: Term::stderr(),
            frame,
            mask,
            drawn: Vec::new(),
            columns: 0,
            held: 0,
        });
        let (stop, stopped) = mpsc::channel();
        let region = self.clone();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                if let Some(painter) = region.lock().as_mut() {
                    painter.draw();
                }
            }
        });
        Live {
            region: self.clone(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Prints something above the region.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        let mut painter = self.lock();
        if let Some(painter) = painter.as_mut() {
            painter.clear();
        }
        print();
        if let Some(painter) = painter.as_mut() {
            painter.draw();
        }
    }

    /// Leaves the terminal to somebody else.
    pub(super) fn hold(&self) -> Hold {
        if let Some(painter) = self.lock().as_mut() {
            painter.clear();
            painter.held += 1;
        }
        Hold(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Painter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(painter) = self.0.lock().as_mut() {
            painter.held = painter.held.saturating_sub(1);
            if painter.held == 0 {
                painter.draw();
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(mut painter) = self.region.lock().take() {
            painter.clear();
        }
    }
}

impl Painter {
    fn size(&self) -> Size {
        let (rows, columns) = self.term.size();
        Size {
            columns: usize::from(columns).max(1),
            rows: usize::from(rows).max(1),
        }
    }

    fn draw(&mut self) {
        if self.held > 0 {
            return;
        }
        let size = self.size();
        let lines: Vec<String> = (self.frame)(size)
            .iter()
            .map(|line| self.mask.apply(line))
            .collect();
        if lines == self.drawn && size.columns == self.columns {
            return;
        }
        let mut text = self.erasure(size.columns);
        for line in &lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        self.put(&text);
        (self.drawn, self.columns) = (lines, size.columns);
    }

    fn clear(&mut self) {
        let text = self.erasure(self.size().columns);
        self.put(&text);
        self.drawn.clear();
    }

    /// Goes to the first line of the region and erases from there. A terminal that became narrower has broken long lines into several.
    fn erasure(&self, columns: usize) -> String {
        let rows: usize = self
            .drawn
            .iter()
            .map(|line| measure_text_width(line).div_ceil(columns).max(1))
            .sum();
        match rows {
            0 => String::new(),
            rows => format!("\r\x1b[{rows}A\x1b[J"),
        }
    }

    /// Writes in one piece, so that nobody sees half of it.
    fn put(&self, text: &str) {
        if !text.is_empty() {
            let mut stderr = std::io::stderr().lock();
            let _ = stderr
                .write_all(format!("\x1b[?2026h{text}\x1b[?2026l").as_bytes())
                .and_then(|()| stderr.flush());
        }
    }
}
