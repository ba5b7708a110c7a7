//! What ztc and its adapters say to each other: the types on the wire, the method names, the error codes, the framing of a line, and the JSON
//! Schemas generated from those types.
//!
//! This crate never opens a file, starts a process or touches a terminal: it is the contract, and both sides of it
//! (`ztc` and `ztc-adapter-sdk`) depend on it and not on each other.
//!
//! Compatibility: a minor version only adds. Unknown fields are ignored in both directions, so no type here denies
//! them; a field is removed or changes its meaning only with a new major version.
#![warn(missing_docs)]

pub mod capability;
pub mod error;
pub mod frame;
pub mod health;
pub mod lines;
pub mod manifest;
pub mod message;
pub mod schema;
pub mod stage;
pub mod version;

pub use error::{ErrorCode, ErrorData};
pub use manifest::Manifest;
pub use message::Method;
pub use version::ProtocolVersion;

/// The version of the protocol that this crate describes.
pub const PROTOCOL: ProtocolVersion = ProtocolVersion { major: 1, minor: 0 };

/// The argument with which the host starts an adapter; without it an adapter is an ordinary program that says what it is.
pub const ADAPTER_ARGUMENT: &str = "--ztc-adapter";

/// The argument with which an adapter prints its answer to `initialize` as one line and ends.
pub const DESCRIBE_ARGUMENT: &str = "--ztc-describe";

/// The argument with which an adapter serves hosts on a local socket, whose path may follow, instead of stdin and stdout.
pub const LISTEN_ARGUMENT: &str = "--ztc-listen";

/// The variable with which the operator makes the host use running adapters: `name=/path/of/socket`, several separated by commas.
pub const ATTACH_VARIABLE: &str = "ZTC_ATTACH";

/// The longest path of such a socket, in bytes: what every system can bind.
pub const MAX_SOCKET_BYTES: usize = 100;

/// The variable that the host sets to `1` for an adapter that leads a process group of its own: the adapter then takes its group with it
/// when stdin ends without a `shutdown`, because that means that the host is gone.
pub const GROUP_VARIABLE: &str = "ZTC_ADAPTER_GROUP";

/// The longest line, in bytes, that either side accepts. Larger content goes by file in the scratch directory.
pub const MAX_LINE_BYTES: usize = 32 * 1024 * 1024;

/// Returns the lower-case hexadecimal SHA-256 of the bytes, the form of every digest on the wire and in files.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
