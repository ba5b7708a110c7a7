//! Tables of versions in a tree: what its index says about them, and how new ones get into it. Their content is their adapter's affair; here only
//! the keys `serial` and `adapter` are read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use semver::VersionReq;
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::digest::sha256_hex;
use crate::error::{Exit, Failure, Location};
use crate::platform::structure::is_name;
use crate::plugins::index::{Asset, Index, file_problem};
use crate::regular;
use crate::yaml;

/// The largest table, in bytes.
pub(crate) const MOST: u64 = 1 << 20;

/// What the file name of every table starts with.
const PREFIX: &str = "ztc-versions-";

/// One table of versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    /// Its serial: among the tables of an adapter it grows.
    pub(crate) serial: u64,
    /// When it was published, RFC 3339, UTC.
    pub(crate) released: String,
    /// The versions of the adapter that it is for.
    pub(crate) adapter: String,
    /// Relative to the tree.
    pub(crate) path: String,
    /// In bytes.
    pub(crate) size: u64,
    /// Lower-case hexadecimal.
    pub(crate) sha256: String,
}

/// What a table says about itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) serial: u64,
    pub(crate) adapter: VersionReq,
}

/// A table that is about to be published.
pub(crate) struct New {
    pub(crate) adapter: String,
    pub(crate) head: Head,
    pub(crate) text: String,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

impl Table {
    /// The versions of the adapter that it is for.
    pub(crate) fn range(&self) -> VersionReq {
        self.adapter.parse().unwrap_or_default()
    }

    /// The file itself.
    pub(crate) fn asset(&self) -> Asset {
        Asset {
            path: self.path.clone(),
            size: self.size,
            sha256: self.sha256.clone(),
        }
    }
}

/// Says what is wrong with the tables of an index.
pub(crate) fn problem(all: &BTreeMap<String, Vec<Table>>) -> Option<String> {
    all.iter().find_map(|(name, tables)| {
        let at = |table: &Table| format!("table {} of the versions of `{name}`", table.serial);
        if !is_name(name) {
            return Some(format!("`{name}` is not the name of an adapter"));
        }
        if let Some(pair) = tables
            .windows(2)
            .find(|pair| pair[0].serial >= pair[1].serial)
        {
            return Some(format!(
                "{} does not follow {}",
                at(&pair[1]),
                pair[0].serial
            ));
        }
        tables.iter().find_map(|table| {
            let problem = match asset_problem(&table.path, table.size, &table.sha256) {
                Some(problem) => problem,
                None if table.adapter.parse::<VersionReq>().is_err() => {
                    format!("`{}` is not a range of versions", table.adapter)
                }
                None => return None,
            };
            Some(format!("{}: {problem}", at(table)))
        })
    })
}

/// Says why nothing is fetched that is described like this.
pub(crate) fn asset_problem(path: &str, size: u64, sha256: &str) -> Option<String> {
    file_problem(path, sha256).or_else(|| {
        (size > MOST).then(|| format!("{size} bytes are more than a table may have ({MOST})"))
    })
}

/// Reads what a table says about itself. `place` is what people know the file by.
pub(crate) fn head(text: &str, place: &str) -> Result<Head, Failure> {
    let invalid = |why: String| {
        Failure::invalid(format!("`{place}` is not a table of versions: {why}"))
            .help("begin with what the adapter has itself: `ztc plugins run NAME versions`")
    };
    let table: serde_json::Value = yaml::parse(text).map_err(|error| {
        invalid(error.message).at(Location {
            file: place.to_owned(),
            line: error.line,
            column: error.column,
        })
    })?;
    let serial = table.get("serial").and_then(serde_json::Value::as_u64);
    let adapter = match table.get("adapter") {
        None => VersionReq::STAR,
        Some(range) => range
            .as_str()
            .and_then(|range| range.parse().ok())
            .ok_or_else(|| {
                invalid(format!(
                    "`adapter` is `{range}`, and not a range of its versions"
                ))
            })?,
    };
    Ok(Head {
        serial: serial.ok_or_else(|| invalid("it has no number `serial`".to_owned()))?,
        adapter,
    })
}

/// Reads the tables at the top of a directory, which wait for being published: `ztc-versions-NAME-SERIAL.yaml`.
pub(crate) fn waiting(directory: &Path) -> Result<Vec<New>, Failure> {
    let fail = |error: std::io::Error| Failure::io("read", directory, &error);
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(fail)?,
    };
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some((adapter, serial)) = parts(&file).filter(|_| path.is_file()) else {
            continue;
        };
        let text =
            regular::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))?;
        let head = head(&text, &file)?;
        if head.serial != serial {
            let says = head.serial;
            return Err(
                Failure::invalid(format!("`{file}` says that its serial is {says}"))
                    .help("give the file the name of its serial, or correct `serial` in it"),
            );
        }
        if text.len() as u64 > MOST {
            return Err(
                Failure::invalid(format!("`{file}` has more than {MOST} bytes"))
                    .help("make it smaller: operators refuse a larger one"),
            );
        }
        found.push(New {
            adapter,
            head,
            text,
            path,
        });
    }
    found.sort_by(|a, b| (&a.adapter, a.head.serial).cmp(&(&b.adapter, b.head.serial)));
    Ok(found)
}

/// Adds a table to an index; returns its path in the tree, or nothing where it was there.
pub(crate) fn add(index: &mut Index, new: &New, released: &str) -> Result<Option<String>, Failure> {
    let New {
        adapter,
        head,
        text,
        ..
    } = new;
    let tables = index.versions.entry(adapter.clone()).or_default();
    let sha256 = sha256_hex(text.as_bytes());
    match tables.last() {
        Some(last) if last.serial == head.serial && last.sha256 == sha256 => return Ok(None),
        Some(last) if last.serial >= head.serial => {
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "the versions of `{adapter}` have the table {} already",
                    last.serial
                ),
            )
            .help(format!("give this one the serial {}", last.serial + 1)));
        }
        _ => {}
    }
    let path = format!("{adapter}/versions/{}", file_name(adapter, head.serial));
    tables.push(Table {
        serial: head.serial,
        released: released.to_owned(),
        adapter: head.adapter.to_string(),
        path: path.clone(),
        size: text.len() as u64,
        sha256,
    });
    Ok(Some(path))
}

/// Whether a table was published before, as it is.
pub(crate) fn is_known(index: &Index, new: &New) -> bool {
    let mut tables = index.versions.get(&new.adapter).into_iter().flatten();
    let sha256 = sha256_hex(new.text.as_bytes());
    tables.any(|table| table.serial == new.head.serial && table.sha256 == sha256)
}

/// Puts tables into their places. They wait at the top as well until the index has them, see [`clear`].
pub(crate) fn put(directory: &Path, all: &[New]) -> Result<(), Failure> {
    for New {
        adapter,
        head,
        text,
        ..
    } in all
    {
        let to = directory
            .join(adapter)
            .join("versions")
            .join(file_name(adapter, head.serial));
        let parent = to.parent().unwrap_or(directory);
        fs::create_dir_all(parent).map_err(|error| Failure::io("make", parent, &error))?;
        atomic::public(&to, text)?;
    }
    Ok(())
}

/// Removes published tables from the top of the directory.
pub(crate) fn clear(all: &[New]) -> Result<(), Failure> {
    all.iter().try_for_each(|New { path, .. }| {
        fs::remove_file(path).map_err(|error| Failure::io("remove", path, &error))
    })
}

/// Says what an operator would not get.
pub(crate) fn unreadable(directory: &Path, index: &Index) -> Vec<String> {
    let tables = index.versions.values().flatten();
    let problem = |table: &Table| match regular::read(&directory.join(&table.path)) {
        Err(error) => Some(format!("{}: it cannot be read: {error}", table.path)),
        Ok(bytes) if sha256_hex(&bytes) != table.sha256 => Some(format!(
            "{}: it does not have the bytes that were signed",
            table.path
        )),
        Ok(_) => None,
    };
    tables.filter_map(problem).collect()
}

fn file_name(adapter: &str, serial: u64) -> String {
    format!("{PREFIX}{adapter}-{serial}.yaml")
}

fn parts(file: &str) -> Option<(String, u64)> {
    let (adapter, serial) = file
        .strip_prefix(PREFIX)?
        .strip_suffix(".yaml")?
        .rsplit_once('-')?;
    let serial = serial.parse().ok()?;
    (is_name(adapter) && file_name(adapter, serial) == file).then(|| (adapter.to_owned(), serial))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(serial: u64) -> Table {
        Table {
            serial,
            adapter: "*".into(),
            path: format!("talos/versions/ztc-versions-talos-{serial}.yaml"),
            size: 1,
            sha256: "a".repeat(64),
            ..Table::default()
        }
    }

    #[test]
    fn names_of_files_are_taken_apart() {
        for (file, expected) in [
            ("ztc-versions-talos-3.yaml", Some(("talos".to_owned(), 3))),
            (
                "ztc-versions-bgp-check-12.yaml",
                Some(("bgp-check".to_owned(), 12)),
            ),
            ("ztc-versions-talos-03.yaml", None),
            ("ztc-versions-talos.yaml", None),
            ("ztc-versions-Talos-3.yaml", None),
            ("ztc-versions-..-3.yaml", None),
            ("versions.yaml", None),
        ] {
            assert_eq!(parts(file), expected, "{file}");
        }
    }

    #[test]
    fn what_an_index_may_not_say_is_named() {
        #[track_caller]
        fn check(tables: &[Table], expected: Option<&str>) {
            let all = BTreeMap::from([("talos".to_owned(), tables.to_vec())]);
            assert_eq!(problem(&all).as_deref(), expected);
        }
        check(&[table(1), table(3)], None);
        check(
            &[table(3), table(3)],
            Some("table 3 of the versions of `talos` does not follow 3"),
        );
        let with = |change: fn(&mut Table)| {
            let mut one = table(2);
            change(&mut one);
            [one]
        };
        check(
            &with(|table| table.path = "/etc/passwd".into()),
            Some(
                "table 2 of the versions of `talos`: the path `/etc/passwd` is refused: it is absolute",
            ),
        );
        check(
            &with(|table| table.path = "a/../../b".into()),
            Some(
                "table 2 of the versions of `talos`: the path `a/../../b` is refused: it leaves the tree",
            ),
        );
        check(
            &with(|table| table.size = 1 << 30),
            Some(
                "table 2 of the versions of `talos`: 1073741824 bytes are more than a table may have (1048576)",
            ),
        );
        check(
            &with(|table| table.adapter = "newest".into()),
            Some("table 2 of the versions of `talos`: `newest` is not a range of versions"),
        );
    }

    #[test]
    fn a_table_says_what_it_is() {
        let read = |text: &str| match head(text, "t.yaml") {
            Ok(head) => format!("{} {}", head.serial, head.adapter),
            Err(failure) => failure.message,
        };
        assert_eq!(
            read("serial: 4\nadapter: '>=0.1, <2'\nmore: {}\n"),
            "4 >=0.1, <2"
        );
        assert_eq!(read("serial: 4\n"), "4 *");
        assert_eq!(
            read("serial: x\n"),
            "`t.yaml` is not a table of versions: it has no number `serial`"
        );
        assert_eq!(
            read("serial: 4\nadapter: newest\n"),
            "`t.yaml` is not a table of versions: `adapter` is `\"newest\"`, and not a range of its versions"
        );
    }
}
