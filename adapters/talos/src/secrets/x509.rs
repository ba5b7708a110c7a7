//! What a certificate says: its subject, its end, its key, its key identifier. Reads only; checks no signature.

use std::time::Duration;

use rcgen::string::PrintableString;
use rcgen::{DistinguishedName, DnType, DnValue};
use rsa::pkcs8::ObjectIdentifier;
use rsa::pkcs8::der::asn1::{AnyRef, BitStringRef, GeneralizedTime, OctetStringRef, UtcTime};
use rsa::pkcs8::der::{self, DateTime, Decode as _, Reader as _, SliceReader, Tag, Tagged as _};

const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");

/// A certificate.
pub(super) struct Certificate {
    pub(super) subject: DistinguishedName,
    pub(super) not_after: DateTime,
    /// The public key's bits.
    pub(super) key: Vec<u8>,
    pub(super) subject_key_identifier: Option<Vec<u8>>,
}

impl Certificate {
    /// Reads a certificate; nothing where it is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let certificate = AnyRef::from_der(bytes).ok()?;
        let tbs = *children(certificate.value())?.first()?;
        let fields = children(tbs.value())?;
        // [0] version, serial number, signature, issuer, validity, subject, public key, then [3] extensions.
        let [_, _, _, _, validity, subject, key, rest @ ..] = fields.as_slice() else {
            return None;
        };
        let not_after = time(*children(validity.value())?.get(1)?)?;
        let key: BitStringRef<'_> = children(key.value())?.get(1)?.decode_as().ok()?;
        Some(Self {
            subject: name(subject.value())?,
            not_after,
            key: key.raw_bytes().to_vec(),
            subject_key_identifier: rest.iter().find_map(|field| subject_key_identifier(*field)),
        })
    }

    /// The end of its validity, since 1970.
    pub(super) fn end(&self) -> Duration {
        self.not_after.unix_duration()
    }

    /// The last day of its validity.
    pub(super) fn last_day(&self) -> String {
        let time = self.not_after;
        format!("{:04}-{:02}-{:02}", time.year(), time.month(), time.day())
    }

    /// How long it is still valid at a time since 1970; nothing where it is not any more.
    pub(super) fn remaining(&self, now: Duration) -> Option<Duration> {
        self.not_after.unix_duration().checked_sub(now)
    }
}

fn children(bytes: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let mut children = Vec::new();
    while !reader.is_finished() {
        children.push(reader.decode().ok()?);
    }
    Some(children)
}

fn time(time: AnyRef<'_>) -> Option<DateTime> {
    match time.tag() {
        Tag::UtcTime => time
            .decode_as::<UtcTime>()
            .ok()
            .map(|time| time.to_date_time()),
        _ => time
            .decode_as::<GeneralizedTime>()
            .ok()
            .map(|time| time.to_date_time()),
    }
}

/// Keeps the form of each text: who compares names, compares bytes.
fn name(bytes: &[u8]) -> Option<DistinguishedName> {
    let mut name = DistinguishedName::new();
    for set in children(bytes)? {
        for attribute in children(set.value())? {
            let parts = children(attribute.value())?;
            let [kind, value] = parts.as_slice() else {
                return None;
            };
            let oid: ObjectIdentifier = kind.decode_as().ok()?;
            let arcs: Vec<u64> = oid.arcs().map(u64::from).collect();
            let text = std::str::from_utf8(value.value()).ok()?;
            let value = match value.tag() {
                Tag::PrintableString => {
                    DnValue::PrintableString(PrintableString::try_from(text).ok()?)
                }
                _ => DnValue::Utf8String(text.to_owned()),
            };
            name.push(DnType::from_oid(&arcs), value);
        }
    }
    Some(name)
}

fn subject_key_identifier(field: AnyRef<'_>) -> Option<Vec<u8>> {
    let extensions = *children(field.value())?.first()?;
    children(extensions.value())?
        .into_iter()
        .find_map(|extension| {
            let parts = children(extension.value())?;
            let oid: ObjectIdentifier = parts.first()?.decode_as().ok()?;
            let value: OctetStringRef<'_> = parts.last()?.decode_as().ok()?;
            let identifier: der::Result<OctetStringRef<'_>> =
                OctetStringRef::from_der(value.as_bytes());
            (oid == SUBJECT_KEY_IDENTIFIER)
                .then(|| identifier.ok().map(|bytes| bytes.as_bytes().to_vec()))
                .flatten()
        })
}
