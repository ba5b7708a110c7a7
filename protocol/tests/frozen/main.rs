//! Protocol 1.0 as it was frozen: its schema and its recorded conversations still fit the types of today.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

mod recorded;
mod schema;

use std::path::PathBuf;

/// Where the frozen files are.
fn frozen() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("1.0")
}
