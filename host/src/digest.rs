//! SHA-256 of files with constant memory.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
pub use ztc_protocol::sha256_hex;

use crate::regular;

/// Returns the lower-case hexadecimal SHA-256 of a file.
pub fn file(path: &Path) -> io::Result<String> {
    let mut file = regular::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
