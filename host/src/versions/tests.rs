//! Which table is chosen, and what is said about it.

use std::collections::BTreeMap;

use ztc_protocol::Manifest;
use ztc_protocol::manifest::TableInUse;

use crate::digest::sha256_hex;
use crate::lock::{EMBEDDED, LockedTable};
use crate::plugins::tables::Table;
use crate::versions::{Offer, Origin, Scope, Tables, kept};

const TEXT: &str = "serial: 7\n";

fn manifest(serial: u64) -> Manifest {
    Manifest {
        name: "talos".into(),
        version: "0.2.0".into(),
        versions: Some(TableInUse {
            serial,
            sha256: "own".into(),
        }),
        ..Manifest::default()
    }
}

fn offer(serial: u64, adapter: &str) -> Offer {
    Offer {
        table: Table {
            serial,
            adapter: adapter.into(),
            sha256: format!("of {serial}"),
            ..Table::default()
        },
        source: "there".into(),
        origin: Origin::Remote,
        scope: Scope::Everybody,
        text: Some(TEXT.into()),
    }
}

fn tables(offers: &[Offer]) -> Tables {
    let mut tables = Tables::only(BTreeMap::from([("talos".to_owned(), offers.to_vec())]));
    tables
        .reasons
        .insert(String::new(), "there has no newer one".into());
    tables
}

#[track_caller]
fn says(tables: &Tables, manifest: &Manifest, expected: &str) {
    let said = match tables.choose(manifest, None) {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(chosen)) => chosen.used.text("talos"),
        Err(failure) => failure.message,
    };
    assert_eq!(said, expected);
}

#[test]
fn the_newest_that_is_for_the_adapter_is_chosen() {
    let offers = [offer(6, "*"), offer(7, ">=0.1, <0.3"), offer(9, ">=0.3")];
    let chosen = tables(&offers).choose(&manifest(5), None).unwrap().unwrap();
    assert_eq!(chosen.table.unwrap().content, TEXT);
    says(
        &tables(&offers),
        &manifest(5),
        "versions of talos: table 7, of there (it was fetched just now)",
    );
    // The adapter's own is newer.
    says(
        &tables(&offers),
        &manifest(8),
        "versions of talos: table 8, its own (there has no newer one)",
    );
    says(&tables(&offers), &Manifest::default(), "nothing");
}

#[test]
fn what_a_lock_pins_goes_before_what_is_newer() {
    let directory = tempfile::tempdir().unwrap();
    let mut tables = tables(&[offer(9, "*")]);
    tables.data = Some(directory.path().to_owned());
    let pin = |source: &str, sha256: &str| {
        let table = LockedTable {
            serial: 7,
            sha256: sha256.into(),
            source: source.into(),
            ..LockedTable::default()
        };
        BTreeMap::from([("talos".to_owned(), table)])
    };
    tables.pins = pin(EMBEDDED, "older");
    says(
        &tables,
        &manifest(5),
        "versions of talos: table 5, its own (platform/lock.json pins it)",
    );
    tables.pins = pin("there", "own");
    says(
        &tables,
        &manifest(5),
        "versions of talos: table 5, its own (platform/lock.json pins it)",
    );
    tables.pins = pin("there", &sha256_hex(TEXT.as_bytes()));
    says(
        &tables,
        &manifest(5),
        "the table of versions of `talos` that platform/lock.json pins is not on this machine",
    );
    kept::save(directory.path(), TEXT).unwrap();
    says(
        &tables,
        &manifest(5),
        "versions of talos: table 7, cached, of there (platform/lock.json pins it)",
    );
    // Somebody has changed the file: it is none.
    let path = directory
        .path()
        .join("versions")
        .join(format!("{}.yaml", sha256_hex(TEXT.as_bytes())));
    std::fs::write(&path, "serial: 8\n").unwrap();
    says(
        &tables,
        &manifest(5),
        "the table of versions of `talos` that platform/lock.json pins is not on this machine",
    );
}

#[test]
fn an_adapter_that_passes_over_its_table_is_refused() {
    let chosen = tables(&[offer(7, "*")])
        .choose(&manifest(5), None)
        .unwrap()
        .unwrap();
    let failure = chosen.check(&manifest(5)).unwrap_err();
    assert_eq!(
        failure.message,
        "adapter `talos` does not work with the table of versions that it was given"
    );
    let mut good = manifest(7);
    good.versions.as_mut().unwrap().sha256 = "of 7".into();
    assert!(chosen.check(&good).is_ok());
}

#[test]
fn a_source_that_nobody_has_configured_speaks_for_what_was_installed_from_it_only() {
    let offer = Offer {
        scope: Scope::Installed,
        ..offer(9, "*")
    };
    let tables = tables(&[offer]);
    let serial = |installed: Option<&str>| {
        let chosen = tables.choose(&manifest(5), installed).unwrap().unwrap();
        chosen.used.table.serial
    };
    assert_eq!(
        [
            serial(None),
            serial(Some("elsewhere")),
            serial(Some("there"))
        ],
        [5, 5, 9]
    );
}
