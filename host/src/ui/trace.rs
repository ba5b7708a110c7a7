//! What `-v` shows: the program's own decisions (`-v`) and details (`-vv`), masked like everything else.
//!
//! Libraries stay silent at every level: some of them trace whole messages, and messages can hold secrets.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::mask::Mask;

/// Starts showing; `verbose` is how often `-v` was given.
pub fn start(verbose: u8, mask: Mask) {
    let level = match verbose {
        0 => return,
        1 => "off,ztc=debug",
        _ => "off,ztc=trace",
    };
    // A second start, as in tests, changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(Writers { mask })
        .with_ansi(false)
        .without_time()
        .try_init();
}

struct Writers {
    mask: Mask,
}

impl<'a> MakeWriter<'a> for Writers {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            mask: self.mask.clone(),
            text: Vec::new(),
        }
    }
}

/// Collects one event, so that a secret is found however it was written in parts.
struct Line {
    mask: Mask,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = io::stderr().write_all(&self.mask.apply_bytes(&self.text));
    }
}
