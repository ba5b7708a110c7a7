//! Whose a source is by all that this machine knows: the list of trusted publishers first, and where that has lost it, the index that was seen
//! last and what was installed. So a list that is gone makes no known source a new one. Writes nothing.

use crate::error::Failure;
use crate::paths::Machine;
use crate::plugins::seen;
use crate::plugins::signature::Key;
use crate::plugins::store::{Record, Store};
use crate::plugins::tree::{PIN, RECORD, SEEN};
use crate::plugins::trust::Trust;

/// Returns the key that has to have signed a source, with whose word that is; nothing where it is new here, or an operator has forgotten it.
pub(crate) fn key(machine: &Machine, place: &str) -> Result<Option<(Key, &'static str)>, Failure> {
    let trust = Trust::load(machine)?;
    if let Some(key) = trust.key(place)? {
        return Ok(Some((key, PIN)));
    }
    if trust.forgotten.contains(place) {
        return Ok(None);
    }
    if let Some(seen) = seen::load(&machine.data(), place)? {
        let key = Key::parse(&seen.index.publisher.key).ok();
        return Ok(key.map(|key| (key, SEEN)));
    }
    Ok(recorded(machine, place).map(|key| (key, RECORD)))
}

/// Whether anything here remembers the key of a source that no list names.
pub(crate) fn is_known(machine: &Machine, place: &str) -> bool {
    !matches!(key(machine, place), Ok(None))
}

/// The key that has signed what was installed last from a source.
fn recorded(machine: &Machine, place: &str) -> Option<Key> {
    let records = Store::new(machine).installed();
    let own = records.iter().filter(|record| record.source == place);
    let signed = own.filter(|record| record.publisher_key.is_some());
    let last: &Record = signed.max_by(|a, b| a.installed.cmp(&b.installed))?;
    Key::parse(last.publisher_key.as_deref()?).ok()
}
