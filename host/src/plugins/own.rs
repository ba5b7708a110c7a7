//! Installing a single executable of the operator's own: nobody has signed it, and its name says what it is. It is read once, so the bytes that
//! were compared are those that are kept. Runs nothing of what it installs.

use std::io::{Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::digest;
use crate::error::{Exit, Failure};
use crate::lock;
use crate::lock::plugins::LockedPlugin;
use crate::paths::Machine;
use crate::pipeline::journal::now;
use crate::plugins::agreed::{self, NewPowers, Powers};
use crate::plugins::index::{Asset, Choice, MOST_EXECUTABLE, Release};
use crate::plugins::install::{Done, Mode, State, Terms, TrustWord, refuse_moved};
use crate::plugins::name::FileName;
use crate::plugins::store::{self, Incoming, Record, Store};
use crate::plugins::tree::Unsigned;
use crate::regular;
use crate::shell::word;

/// An executable that was read.
pub(crate) struct Own {
    /// The name of its source.
    place: String,
    pub(crate) choice: Choice,
    /// A copy of its bytes; nothing where nothing is to be written.
    incoming: Option<Incoming>,
}

/// Reads an executable, into the store where it is to be installed.
pub(crate) fn read(machine: &Machine, path: &Path, terms: &Terms) -> Result<Own, Failure> {
    let shown = path.display();
    if terms.unsigned == Unsigned::Refuse {
        return Err(Failure::new(
            Exit::Refused,
            format!("`{shown}` has no signature: a single file never has one"),
        )
        .help("add `--allow-unsigned` where you know these bytes by another way"));
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let FileName {
        name,
        version,
        platform,
    } = FileName::parse(&file).ok_or_else(|| {
        Failure::invalid(format!("`{file}` does not say which adapter it is"))
            .help("give the file a name such as `ztc-adapter-NAME-1.0.0-linux-x86_64`")
    })?;
    if platform != lock::machine() {
        let message = format!(
            "`{file}` is for {platform}, and this machine is {}",
            lock::machine()
        );
        return Err(Failure::new(Exit::Missing, message).help("take the file for this machine"));
    }
    let (asset, incoming) = match terms.mode {
        Mode::DryRun => (looked_at(path)?, None),
        Mode::Install => {
            let (asset, incoming) = copied(&Store::new(machine), path)?;
            (asset, Some(incoming))
        }
    };
    let release = Release {
        released: now(),
        platforms: [(platform, asset.clone())].into(),
        ..Release::default()
    };
    Ok(Own {
        place: format!("file://{shown}"),
        choice: Choice {
            name,
            version,
            release,
            asset,
        },
        incoming,
    })
}

/// Installs what was read.
pub(crate) fn install(
    machine: &Machine,
    own: Own,
    locked: Option<&LockedPlugin>,
    terms: &Terms,
    waiting: &dyn Fn(),
) -> Result<Done, Failure> {
    let store = Store::new(machine);
    let Own {
        place,
        choice,
        incoming,
    } = own;
    // The same version may be built again: it is the author's own file, and nobody has signed it.
    let before = store.installed();
    refuse_moved(&before, &choice, &place, terms.moved)?;
    let powers = powers(&before, locked, &choice);
    let (name, version) = (&choice.name, &choice.version);
    let question = powers.question(name, &version.to_string());
    let mut warnings = Vec::new();
    match question.filter(|_| terms.powers == NewPowers::Refuse) {
        Some(question) if terms.mode == Mode::DryRun => {
            warnings.push(format!("{question}: this needs `--accept`"));
        }
        Some(question) => {
            let path = place.trim_start_matches("file://");
            return Err(agreed::refusal(question, &word(path), terms));
        }
        None => {}
    }
    let record = Record {
        format: store::format(),
        name: name.clone(),
        version: version.clone(),
        source: place.clone(),
        publisher_key: None,
        index_serial: 0,
        installed: now(),
        platform: lock::machine(),
        file: true,
        release: choice.release.clone(),
    };
    let mut state = State::Planned;
    if let Some(incoming) = incoming {
        let hold = store.hold(waiting)?;
        state = match store.has(&choice.asset) {
            true => State::Present,
            false => {
                store.keep(incoming, &choice.asset)?;
                State::Installed
            }
        };
        store.save(&record)?;
        store.sweep(&hold);
    }
    Ok(Done {
        name: choice.name,
        version: choice.version,
        platform: lock::machine(),
        source: place,
        publisher_key: None,
        trust: TrustWord::Unsigned,
        size: choice.asset.size,
        sha256: choice.asset.sha256,
        program: store
            .program(&record)
            .filter(|_| terms.mode == Mode::Install),
        state,
        powers,
        lock_was: None,
        lock_serial_was: None,
        warnings,
    })
}

/// Says what it may touch, which nobody knows: that is new only where something was known before.
fn powers(before: &[Record], locked: Option<&LockedPlugin>, choice: &Choice) -> Powers {
    let earlier = agreed::earlier(before, locked, None, choice);
    let was_known = earlier.as_ref().is_some_and(agreed::Earlier::is_known);
    Powers::of(&choice.release, earlier.as_ref().filter(|_| was_known))
}

fn looked_at(path: &Path) -> Result<Asset, Failure> {
    let fail = |error: std::io::Error| Failure::io("read", path, &error);
    Ok(Asset {
        path: file_name(path),
        size: std::fs::metadata(path).map_err(fail)?.len(),
        sha256: digest::file(path).map_err(fail)?,
    })
}

fn copied(store: &Store, path: &Path) -> Result<(Asset, Incoming), Failure> {
    let fail = |error: std::io::Error| Failure::io("read", path, &error);
    let mut file = regular::open(path).map_err(fail)?.take(MOST_EXECUTABLE + 1);
    let mut incoming = store.begin()?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 128 << 10];
    let mut size = 0;
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(fail(error)),
        };
        size += count as u64;
        hasher.update(&chunk[..count]);
        incoming
            .write_all(&chunk[..count])
            .map_err(|error| Failure::io("copy", path, &error).detail("nothing was installed"))?;
    }
    if size > MOST_EXECUTABLE {
        return Err(Failure::invalid(format!(
            "`{}` is longer than an adapter may be ({MOST_EXECUTABLE} bytes)",
            path.display()
        ))
        .help("name the executable of an adapter"));
    }
    let digest = hasher.finalize();
    let asset = Asset {
        path: file_name(path),
        size,
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    Ok((asset, incoming))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
