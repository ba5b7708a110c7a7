//! What is installed on this machine, below `$XDG_DATA_HOME/ztc`: `store/<sha256>/<file>` holds bytes, `installed/<name>/<version>.json` says what
//! they are. A record is written last and in one step, so whatever is interrupted leaves the old or the new. Bytes stay as long as a record or the
//! lock of a repository of this machine names them: two publishers of one version have one record, and two repositories may lock one each.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::atomic::{self, Existing};
use crate::error::{Exit, Failure, Finding};
use crate::foreign::printable;
use crate::intact;
use crate::lock;
use crate::paths::Machine;
use crate::pipeline::files;
use crate::plugins::head;
use crate::plugins::index::{Asset, Release};
use crate::plugins::projects;
use crate::shell::word;

const FORMAT: u32 = 1;

/// What the name of a file that is being written begins with.
const INCOMING: &str = ".incoming-";

/// One installed version of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) format: u32,
    pub(crate) name: String,
    pub(crate) version: Version,
    /// The name of the source.
    pub(crate) source: String,
    /// The key of its publisher; nothing: it was not signed.
    pub(crate) publisher_key: Option<String>,
    /// The serial of the index.
    pub(crate) index_serial: u64,
    /// When it was installed, RFC 3339, UTC.
    pub(crate) installed: String,
    /// For which of its platforms.
    pub(crate) platform: String,
    /// Whether it is a single executable of the operator's own, and the source that file.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) file: bool,
    /// What the index says about it, all platforms included.
    pub(crate) release: Release,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Record {
    /// Whether it was installed from a single executable. Older records do not say it; but every index has a serial.
    pub(crate) fn is_file(&self) -> bool {
        self.file || (self.publisher_key.is_none() && self.index_serial == 0)
    }

    /// The bytes that are installed.
    pub(crate) fn asset(&self) -> Option<&Asset> {
        self.release.platforms.get(&self.platform)
    }
}

/// The directories.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
    /// Whose repositories and keys of publishers count, too.
    machine: Machine,
}

/// A file that should be a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    pub(crate) why: String,
}

impl Unreadable {
    /// The adapter and its version, by the names of directory and file.
    pub(crate) fn meant(&self) -> Option<(String, String)> {
        let name = self.path.parent()?.file_name()?.to_string_lossy();
        let version = self.path.file_stem()?.to_string_lossy();
        Some((name.into_owned(), version.into_owned()))
    }

    /// Says so.
    pub(crate) fn finding(&self) -> Finding {
        let path = self.path.display();
        Finding::warning(format!(
            "`{path}`, which says what is installed, cannot be read: {}",
            self.why
        ))
        .help(match self.meant() {
            Some((name, version)) => format!(
                "install that version again, or remove it: `ztc plugins remove {}`",
                word(&format!("{name}@{version}"))
            ),
            None => "install that version again, or remove the file".to_owned(),
        })
    }
}

/// The right to change what is installed, until it is dropped.
pub(crate) struct Hold {
    _file: File,
}

/// A file that is being written; one that is dropped leaves nothing.
pub(crate) struct Incoming {
    file: tempfile::NamedTempFile,
}

impl Store {
    /// That of this machine.
    pub(crate) fn new(machine: &Machine) -> Self {
        Self {
            root: machine.data(),
            machine: machine.clone(),
        }
    }

    /// Waits for other programs that change something. `waiting` is called where there is one.
    pub(crate) fn hold(&self, waiting: impl FnOnce()) -> Result<Hold, Failure> {
        let file = self.lock_file()?;
        let locked = match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => {
                waiting();
                file.lock()
            }
            Err(fs::TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        self.held(file, locked)
    }

    /// The same without waiting; nothing where another program changes something.
    pub(crate) fn hold_now(&self) -> Result<Option<Hold>, Failure> {
        let file = self.lock_file()?;
        let locked = match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        self.held(file, locked).map(Some)
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join("plugins.lock")
    }

    fn lock_file(&self) -> Result<File, Failure> {
        make(&self.root)?;
        let path = self.lock_path();
        files::read_write(&path).map_err(|error| Failure::io("open", &path, &error))
    }

    fn held(&self, file: File, locked: std::io::Result<()>) -> Result<Hold, Failure> {
        match locked {
            Ok(()) => {}
            // A file system without locks: everything is still written in one step.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => return Err(Failure::io("lock", self.lock_path(), &error)),
        }
        self.sweep_unfinished();
        Ok(Hold { _file: file })
    }

    /// Removes the files that an installation has begun that was killed. Only who holds the store may.
    fn sweep_unfinished(&self) {
        let entries = |path: &Path| {
            let entries = fs::read_dir(path).into_iter().flatten();
            entries.filter_map(|entry| Some(entry.ok()?.path()))
        };
        let is_temporary = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            [INCOMING, ".tmp"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        };
        let installed = self.root.join("installed");
        let places = entries(&installed).chain([
            self.root.join("store"),
            self.root.join("sources"),
            self.root.join("versions"),
        ]);
        let files = places.collect::<Vec<_>>();
        // What cannot be removed now is tried again next time; what somebody else is still writing is theirs.
        for path in files
            .iter()
            .flat_map(|place| entries(place))
            .filter(|path| is_temporary(path))
        {
            let is_written = File::open(&path)
                .is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)));
            if !is_written {
                let _ = fs::remove_file(path);
            }
        }
        atomic::sweep(&self.machine.config, 0);
    }

    /// Removes bytes that neither a record nor the lock of a repository of this machine names. Whoever has changed something calls it in the end:
    /// what only shows what it would do, or refuses, takes nothing away.
    pub(crate) fn sweep(&self, _hold: &Hold) {
        // Whose bytes the record of a newer ztc names, or one that broke, nobody knows.
        if !self.unreadable().is_empty() {
            return;
        }
        // Nor what a repository needs whose lock cannot be read.
        let Some(locked) = projects::locked_digests(&self.machine) else {
            return;
        };
        let records = self.installed();
        let known: BTreeSet<&str> = records
            .iter()
            .flat_map(|record| record.release.platforms.values())
            .map(|asset| asset.sha256.as_str())
            .chain(locked.iter().map(String::as_str))
            .collect();
        let directories = fs::read_dir(self.root.join("store")).into_iter().flatten();
        let paths = directories.filter_map(|entry| Some(entry.ok()?.path()));
        for path in paths.filter(|path| path.is_dir()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.len() == 64 && !known.contains(&*name) {
                let _ = fs::remove_dir_all(&path);
            }
        }
    }

    /// Where bytes lie.
    pub(crate) fn program(&self, record: &Record) -> Option<PathBuf> {
        let asset = record.asset()?;
        Some(self.bytes(&asset.sha256, &asset.path))
    }

    fn bytes(&self, sha256: &str, path: &str) -> PathBuf {
        let file = path.rsplit('/').next().unwrap_or(path);
        self.root.join("store").join(sha256).join(file)
    }

    /// Returns the file with a digest, which nobody has read: the one of a name, or else of any, since a publisher may have moved it.
    pub(crate) fn bytes_of(&self, sha256: &str, path: &str) -> Option<PathBuf> {
        let known = self.bytes(sha256, path);
        if known.is_file() {
            return Some(known);
        }
        let files = fs::read_dir(self.root.join("store").join(sha256)).ok()?;
        files.filter_map(|entry| Some(entry.ok()?.path())).min()
    }

    /// Whether bytes are there and are what every start wants.
    pub(crate) fn has(&self, asset: &Asset) -> bool {
        intact::flaw(&self.bytes(&asset.sha256, &asset.path), &asset.sha256).is_none()
    }

    /// Begins a file. The store need not be held for it: a lock on the file itself says that somebody writes it.
    pub(crate) fn begin(&self) -> Result<Incoming, Failure> {
        let directory = self.root.join("store");
        make(&directory)?;
        loop {
            let file = tempfile::Builder::new()
                .prefix(INCOMING)
                .tempfile_in(&directory)
                .map_err(|error| Failure::io("write", &directory, &error))?;
            match file.as_file().lock() {
                Err(error) if error.kind() != ErrorKind::Unsupported => {
                    return Err(Failure::io("lock", file.path(), &error));
                }
                // Before it was locked, somebody may have taken it for a rest.
                _ if !file.path().exists() => {}
                _ => return Ok(Incoming { file }),
            }
        }
    }

    /// Takes a file whose bytes were verified.
    pub(crate) fn keep(&self, incoming: Incoming, asset: &Asset) -> Result<PathBuf, Failure> {
        refuse_foreign(incoming.file.path(), asset)?;
        let path = self.bytes(&asset.sha256, &asset.path);
        let fail = |error: std::io::Error| Failure::io("write", &path, &error);
        let directory = path.parent().unwrap_or(&self.root);
        make(directory)?;
        let file = incoming.file;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o555))
            .and_then(|()| file.as_file().sync_all())
            .map_err(fail)?;
        if path.is_dir() {
            // Nothing but ztc has anything to put there.
            fs::remove_dir_all(&path).map_err(fail)?;
        }
        file.persist(&path).map_err(|error| fail(error.error))?;
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(fail)?;
        Ok(path)
    }

    fn record(&self, name: &str, version: &Version) -> PathBuf {
        self.root
            .join("installed")
            .join(name)
            .join(format!("{version}.json"))
    }

    /// Writes a record: from here on the version is installed.
    pub(crate) fn save(&self, record: &Record) -> Result<(), Failure> {
        let path = self.record(&record.name, &record.version);
        let mut text = serde_json::to_vec_pretty(record).map_err(|error| {
            Failure::failed("failed to write what is installed")
                .detail(error)
                .help("report this to the authors of ztc, with the whole command")
        })?;
        text.push(b'\n');
        atomic::private(&path, &text, Existing::Replace)
    }

    /// Reads all records, by name, the newest version first. A file that is no record is left out.
    pub(crate) fn installed(&self) -> Vec<Record> {
        let mut all: Vec<Record> = self.records().filter_map(Result::ok).collect();
        all.sort_by(|a, b| (&a.name, &b.version).cmp(&(&b.name, &a.version)));
        all
    }

    /// Returns the files that should be records and are none, each with the reason.
    pub(crate) fn unreadable(&self) -> Vec<Unreadable> {
        let mut all: Vec<Unreadable> = self.records().filter_map(Result::err).collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    fn records(&self) -> impl Iterator<Item = Result<Record, Unreadable>> {
        let entries = |path: &Path| {
            let entries = fs::read_dir(path).into_iter().flatten();
            entries.filter_map(|entry| Some(entry.ok()?.path()))
        };
        let directories = entries(&self.root.join("installed"));
        let files = directories.flat_map(move |directory| entries(&directory).collect::<Vec<_>>());
        files
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .map(|path| self.read(&path).map_err(|why| Unreadable { path, why }))
    }

    fn read(&self, path: &Path) -> Result<Record, String> {
        let text = fs::read(path).map_err(|error| error.to_string())?;
        let record: Record = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        match record.format {
            ..=FORMAT if self.record(&record.name, &record.version) == path => Ok(record),
            ..=FORMAT => Err(format!(
                "it is the record of `{}` {}",
                printable(&record.name),
                record.version
            )),
            newer => Err(format!(
                "it has format {newer}, and this program reads {FORMAT}"
            )),
        }
    }

    /// Forgets a version whose record cannot be read. Whose bytes are whose is known again afterwards, and what nobody needs goes with the next change.
    pub(crate) fn remove_unreadable(one: &Unreadable) -> Result<(), Failure> {
        match fs::remove_file(&one.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure::io("remove", &one.path, &error));
            }
            _ => {}
        }
        if let Some(parent) = one.path.parent() {
            // It stays where it holds other versions.
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// Forgets a version, and its bytes where no other needs them.
    pub(crate) fn remove(&self, record: &Record) -> Result<(), Failure> {
        let path = self.record(&record.name, &record.version);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure::io("remove", &path, &error));
            }
            _ => {}
        }
        if let Some(parent) = path.parent() {
            // It stays where it holds other versions.
            let _ = fs::remove_dir(parent);
        }
        let digests = self.installed();
        let used = digests.iter().filter_map(Record::asset);
        let Some(asset) = record.asset() else {
            return Ok(());
        };
        if used.into_iter().any(|other| other.sha256 == asset.sha256) {
            return Ok(());
        }
        let directory = self.root.join("store").join(&asset.sha256);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Failure::io("remove", &directory, &error))
            }
            _ => Ok(()),
        }
    }
}

impl Incoming {
    /// Where it is until it is kept.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // The file itself: its wrapper adds a random name to what goes wrong.
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Refuses what its publisher calls a program for this machine and is none.
fn refuse_foreign(path: &Path, asset: &Asset) -> Result<(), Failure> {
    let machine = lock::machine();
    match head::format_problem(path, &machine)? {
        None => Ok(()),
        Some(problem) => Err(Failure::new(
            Exit::Refused,
            format!(
                "`{}` is not what it is called, a program for {machine}: {problem}",
                asset.path
            ),
        )
        .detail("nothing was installed")
        .help("tell its publisher; another version may be right: `NAME@VERSION`")),
    }
}

/// Makes a record.
pub(crate) fn format() -> u32 {
    FORMAT
}

fn make(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| match error.kind() {
        // A parent that is a file reads like nonsense otherwise.
        ErrorKind::NotADirectory => Failure::new(
            Exit::Failed,
            format!(
                "failed to make `{}`: one of its parents is a file",
                directory.display()
            ),
        )
        .help("move that file away, or set `XDG_DATA_HOME` to another place"),
        _ => Failure::io("make", directory, &error),
    })
}
