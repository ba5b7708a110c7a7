//! The table of versions of an adapter, `versions.yaml`: its own, which is part of the program, or during a conversation the newer one that the
//! host has handed over. Reads and checks texts; never fetches any.
//!
//! ```
//! use serde::Deserialize;
//! use ztc_adapter_sdk::{Table, Versions};
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Releases {
//!     serial: u64,
//!     supported: Vec<String>,
//! }
//!
//! impl Table for Releases {
//!     fn serial(&self) -> u64 {
//!         self.serial
//!     }
//!
//!     fn check(&self, own: Option<&Self>) -> Result<(), String> {
//!         let known = |version: &String| own.is_none_or(|own| own.supported.contains(version));
//!         match self.supported.iter().find(|version| !known(version)) {
//!             Some(version) => Err(format!("`{version}` needs a newer adapter")),
//!             None => Ok(()),
//!         }
//!     }
//! }
//!
//! static RELEASES: Versions<Releases> = Versions::new("serial: 1\nsupported: [v1]\n");
//!
//! assert_eq!(RELEASES.table().supported, ["v1"]);
//! ```
//!
//! An adapter that gives `Some(&RELEASES)` in [`Adapter::versions`] takes newer tables. What a table may say is the adapter's to limit: it comes
//! from a publisher whom the operator trusts with data, not with code.

use std::any::Any;
use std::cell::Cell;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use ztc_protocol::manifest::TableInUse;
use ztc_protocol::message::VersionTable;
use ztc_protocol::{Manifest, sha256_hex};

use crate::Adapter;

/// The content of a table of versions.
pub trait Table: DeserializeOwned + Send + Sync + 'static {
    /// Its serial, the key `serial` of the text: it grows with every table.
    fn serial(&self) -> u64;

    /// Says why it cannot be used. `own` is the adapter's own table, against which a newer one is held; nothing where this is the own one.
    ///
    /// # Errors
    /// A lower-case fragment, values in backticks.
    fn check(&self, own: Option<&Self>) -> Result<(), String>;
}

/// A table of versions that is part of the program, for a `static`.
pub struct Versions<T: Table> {
    text: &'static str,
    own: OnceLock<T>,
}

/// A table that was handed over. It lives as long as the process, as the adapter's own does: a process takes one, and under a debugger a few.
#[derive(Clone, Copy)]
pub struct Taken {
    table: &'static (dyn Any + Send + Sync),
    in_use: &'static TableInUse,
}

thread_local! {
    /// The table of the conversation that the call on this thread belongs to.
    static CURRENT: Cell<Option<Taken>> = const { Cell::new(None) };
}

impl<T: Table> Versions<T> {
    /// Takes the text of `versions.yaml`, usually with `include_str!`.
    pub const fn new(text: &'static str) -> Self {
        Self {
            text,
            own: OnceLock::new(),
        }
    }

    /// Returns the table to work with: the one that was handed over, else the adapter's own.
    ///
    /// # Panics
    /// When the adapter's own text is no table, which its test of that finds.
    pub fn table(&'static self) -> &'static T {
        CURRENT
            .get()
            .and_then(|taken| taken.table.downcast_ref())
            .unwrap_or_else(|| self.own())
    }

    /// Returns the adapter's own.
    ///
    /// # Panics
    /// When the text is no table.
    pub fn own(&self) -> &T {
        self.own.get_or_init(|| {
            read(self.text, None).unwrap_or_else(|why| panic!("the adapter's own table: {why}"))
        })
    }

    /// Reads another text as the host would hand it over.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn read(&self, text: &str) -> Result<T, String> {
        read(text, Some(self.own()))
    }
}

/// A [`Versions`], whatever its table holds.
pub trait AnyVersions: Sync {
    /// The text of the adapter's own table.
    fn own_text(&self) -> &'static str;

    /// Says which one is in use.
    fn in_use(&self) -> TableInUse;

    /// Takes the host's.
    ///
    /// # Errors
    /// Why it is refused.
    fn take(&self, table: &VersionTable) -> Result<Taken, String>;
}

impl<T: Table> AnyVersions for Versions<T> {
    fn own_text(&self) -> &'static str {
        self.text
    }

    fn in_use(&self) -> TableInUse {
        CURRENT
            .get()
            .map_or_else(|| own_in_use(self), |taken| taken.in_use.clone())
    }

    fn take(&self, given: &VersionTable) -> Result<Taken, String> {
        let sha256 = sha256_hex(given.content.as_bytes());
        if sha256 != given.sha256 {
            return Err(format!(
                "its text has the digest {sha256}, not {}",
                given.sha256
            ));
        }
        let table = self.read(&given.content)?;
        if table.serial() != given.serial {
            let serial = table.serial();
            return Err(format!("its text says that its serial is {serial}"));
        }
        let in_use = TableInUse {
            serial: given.serial,
            sha256,
        };
        Ok(Taken {
            table: Box::leak(Box::new(table)),
            in_use: Box::leak(Box::new(in_use)),
        })
    }
}

/// Returns the manifest with the table that is in use.
pub fn manifest(adapter: &impl Adapter) -> Manifest {
    Manifest {
        versions: adapter.versions().map(AnyVersions::in_use),
        ..adapter.manifest()
    }
}

/// Does something with a table in place of the adapter's own.
pub(crate) fn with<R>(taken: Option<Taken>, work: impl FnOnce() -> R) -> R {
    /// Puts back what was, also when the work panics: the thread serves other conversations after this one.
    struct Before(Option<Taken>);
    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _before = Before(CURRENT.replace(taken));
    work()
}

fn own_in_use<T: Table>(versions: &Versions<T>) -> TableInUse {
    TableInUse {
        serial: versions.own().serial(),
        sha256: sha256_hex(versions.text.as_bytes()),
    }
}

fn read<T: Table>(text: &str, own: Option<&T>) -> Result<T, String> {
    let table: T = serde_saphyr::from_str(text).map_err(|error| {
        let why = error.to_string();
        format!(
            "it does not have its form: {}",
            why.lines().next().unwrap_or_default()
        )
    })?;
    table.check(own).map(|()| table)
}

/// Whether a text is a release such as `v1.18.5` or `v1.19.0-rc.1`, and nothing that means more where it becomes part of an address or a path.
#[must_use]
pub fn is_release(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('v') else {
        return false;
    };
    let (numbers, suffix) = rest.split_once('-').unwrap_or((rest, "0"));
    let number = |part: &str| {
        !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && suffix.len() <= 40
        && suffix.split('.').all(word)
}

#[cfg(test)]
mod tests;
