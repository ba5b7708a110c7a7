//! PEM as Talos stores it: base64 of the PEM text. Reads and writes the envelope and the key formats; knows nothing about bundles.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs8::der::Encode as _;
use rsa::pkcs8::der::asn1::AnyRef;
use rsa::pkcs8::{AlgorithmIdentifierRef, ObjectIdentifier, PrivateKeyInfo};

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// What precedes the 32 bytes of an Ed25519 key in PKCS#8.
const ED25519_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A PEM block.
pub(super) struct Block {
    pub(super) label: String,
    pub(super) der: Vec<u8>,
}

/// Writes a block and encodes its text.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    STANDARD.encode(text)
}

/// Decodes a text and reads its block. The error says what is wrong in a few words.
pub(super) fn decode(text: &str) -> Result<Block, &'static str> {
    let bytes = STANDARD
        .decode(text.trim())
        .map_err(|_| "it is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not base64 of a PEM text")?;
    let rest = text
        .trim()
        .strip_prefix("-----BEGIN ")
        .ok_or("it is not base64 of a PEM text")?;
    let (label, rest) = rest
        .split_once("-----")
        .ok_or("its PEM text has no proper beginning")?;
    let (body, _) = rest
        .split_once(&format!("-----END {label}-----"))
        .ok_or("its PEM text has no proper end")?;
    let body: String = body.split_whitespace().collect();
    let der = STANDARD
        .decode(body)
        .map_err(|_| "its PEM text holds no base64")?;
    Ok(Block {
        label: label.to_owned(),
        der,
    })
}

/// Wraps the 32 bytes of an Ed25519 key in PKCS#8.
pub(super) fn ed25519_pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    [ED25519_PREFIX.as_slice(), seed].concat()
}

/// Takes the SEC1 form, with the curve, out of the PKCS#8 form of a P-256 key and its public point.
pub(super) fn sec1_of_pkcs8(pkcs8: &[u8], point: &[u8]) -> Option<Vec<u8>> {
    let info = PrivateKeyInfo::try_from(pkcs8).ok()?;
    // ECPrivateKey: 30 len 02 01 01 04 20 <scalar> ...
    let start = info
        .private_key
        .windows(5)
        .position(|bytes| bytes == [0x02, 0x01, 0x01, 0x04, 0x20])?
        + 5;
    let scalar = info.private_key.get(start..start + 32)?;
    let curve = P256.to_der().ok()?;
    let version = [0x02, 0x01, 0x01].to_vec();
    let public = tlv(0x03, &[&[0u8], point].concat());
    let parts = [
        version,
        tlv(0x04, scalar),
        tlv(0xa0, &curve),
        tlv(0xa1, &public),
    ]
    .concat();
    Some(tlv(0x30, &parts))
}

/// Wraps the SEC1 form of a P-256 key in PKCS#8.
pub(super) fn pkcs8_of_sec1(sec1: &[u8]) -> Option<Vec<u8>> {
    let algorithm = AlgorithmIdentifierRef {
        oid: EC_PUBLIC_KEY,
        parameters: Some(AnyRef::from(&P256)),
    };
    PrivateKeyInfo::new(algorithm, sec1).to_der().ok()
}

/// A DER element shorter than 128 bytes, which all of a P-256 key's are.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len())
        .ok()
        .filter(|length| *length < 128)
        .expect("a P-256 key is short");
    [&[tag, length], value].concat()
}
