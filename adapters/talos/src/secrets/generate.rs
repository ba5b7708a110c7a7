//! Makes bundles: the cluster's secrets as `talosctl gen secrets` makes them, and the operator's certificate for the Talos API.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SerialNumber,
};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::rand_core::{OsRng, RngCore as _};
use serde_json::{Value, json};
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::protocol::ErrorCode;

use super::x509::Certificate;
use super::{AUTHORITIES, CERTIFICATE_LABEL, EC_LABEL, ED25519_LABEL, OS, RSA_LABEL, pem};
use crate::yaml;

const HOUR: u64 = 3600;
const TEN_YEARS: Duration = Duration::from_secs(87_600 * HOUR);
/// The hours of a year.
const ONE_YEAR: u32 = 8_760;
const RSA_BITS: usize = 4096;

/// Makes the secrets of a new cluster.
pub(crate) fn generate() -> Result<String, AdapterError> {
    generate_with(RSA_BITS)
}

fn generate_with(rsa_bits: usize) -> Result<String, AdapterError> {
    let mut certs = serde_json::Map::new();
    for (name, organization) in AUTHORITIES {
        if name == OS {
            // Where Talos writes it: the keys of a bundle are sorted.
            certs.insert(
                "k8sserviceaccount".into(),
                json!({ "key": service_account_key(rsa_bits)? }),
            );
        }
        certs.insert(name.into(), authority(name, organization)?);
    }
    let bundle = json!({
        "cluster": {
            "id": URL_SAFE.encode(random::<32>()?),
            "secret": STANDARD.encode(random::<32>()?),
        },
        "secrets": {
            "bootstraptoken": token()?,
            "secretboxencryptionsecret": STANDARD.encode(random::<32>()?),
        },
        "trustdinfo": { "token": token()? },
        "certs": certs,
    });
    Ok(yaml::document(&bundle))
}

/// Makes the operator's certificate with the authority in a bundle; it is valid for a year unless told, and never longer than the authority.
pub(crate) fn generate_admin(
    talos: &str,
    valid_hours: Option<u32>,
) -> Result<String, AdapterError> {
    let broken = |what: &str| {
        AdapterError::new(
            ErrorCode::InvalidInputs,
            format!("the bundle `talos` cannot sign a certificate: {what}"),
        )
        .help("run `ztc secrets check` to see what is wrong with it")
    };
    let bundle = yaml::parse(talos).map_err(|_| broken("it is not YAML"))?;
    let text = |pointer: &str| bundle.pointer(pointer).and_then(Value::as_str);
    let ca_text = text("/certs/os/crt").ok_or_else(|| broken("`certs.os.crt` is missing"))?;
    let key_text = text("/certs/os/key").ok_or_else(|| broken("`certs.os.key` is missing"))?;
    let ca = pem::decode(ca_text).map_err(|why| broken(&format!("`certs.os.crt`: {why}")))?;
    let ca_key = pem::decode(key_text).map_err(|why| broken(&format!("`certs.os.key`: {why}")))?;
    let ca =
        Certificate::parse(&ca.der).ok_or_else(|| broken("`certs.os.crt` is not a certificate"))?;
    let ca_key = KeyPair::from_pkcs8_der_and_sign_algo(&ca_key.der.into(), &PKCS_ED25519)
        .map_err(|_| broken("`certs.os.key` is not an Ed25519 key"))?;
    if ca_key.public_key_raw() != ca.key {
        return Err(broken("`certs.os.key` is not the key of `certs.os.crt`"));
    }
    let (key, pkcs8) = ed25519()?;
    let mut params = admin_params(valid_hours.unwrap_or(ONE_YEAR))?;
    params.not_after = params
        .not_after
        .min(rcgen::date_time_ymd(1970, 1, 1) + ca.end());
    if params.not_after <= params.not_before {
        return Err(broken(&format!(
            "`certs.os.crt` expired on {}",
            ca.last_day()
        )));
    }
    let certificate = params
        .signed_by(&key, &issuer(ca, ca_key))
        .map_err(failed)?;
    let bundle = json!({
        "ca": ca_text,
        "crt": pem::encode(CERTIFICATE_LABEL, certificate.der()),
        "key": pem::encode(ED25519_LABEL, &pkcs8),
    });
    Ok(yaml::document(&bundle))
}

fn issuer(ca: Certificate, key: KeyPair) -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name = ca.subject;
    if let Some(identifier) = ca.subject_key_identifier {
        params.key_identifier_method = KeyIdMethod::PreSpecified(identifier);
    }
    Issuer::new(params, key)
}

fn admin_params(hours: u32) -> Result<CertificateParams, AdapterError> {
    let mut params = params("os:admin", Duration::from_secs(u64::from(hours) * HOUR))?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn authority(name: &str, organization: &str) -> Result<Value, AdapterError> {
    let (key, key_text) = if name == OS {
        let (key, pkcs8) = ed25519()?;
        (key, pem::encode(ED25519_LABEL, &pkcs8))
    } else {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let sec1 = pem::sec1_of_pkcs8(key.serialized_der(), key.public_key_raw())
            .ok_or_else(|| AdapterError::internal("the new key has an unknown form"))?;
        (key, pem::encode(EC_LABEL, &sec1))
    };
    let mut params = params(organization, TEN_YEARS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.key_identifier_method = KeyIdMethod::PreSpecified(random::<20>()?.to_vec());
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(json!({ "crt": pem::encode(CERTIFICATE_LABEL, certificate.der()), "key": key_text }))
}

fn params(organization: &str, validity: Duration) -> Result<CertificateParams, AdapterError> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(failed)?;
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + now;
    params.not_after = params.not_before + validity;
    params.serial_number = Some(SerialNumber::from_slice(&random::<16>()?));
    params.distinguished_name = DistinguishedName::new();
    if !organization.is_empty() {
        let text = PrintableString::try_from(organization).map_err(failed)?;
        params
            .distinguished_name
            .push(DnType::OrganizationName, DnValue::PrintableString(text));
    }
    Ok(params)
}

fn ed25519() -> Result<(KeyPair, Vec<u8>), AdapterError> {
    let pkcs8 = pem::ed25519_pkcs8(&random()?);
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_slice().into(), &PKCS_ED25519)
        .map_err(failed)?;
    Ok((key, pkcs8))
}

fn service_account_key(bits: usize) -> Result<String, AdapterError> {
    let key = RsaPrivateKey::new(&mut OsRng, bits).map_err(failed)?;
    let der = key.to_pkcs1_der().map_err(failed)?;
    Ok(pem::encode(RSA_LABEL, der.as_bytes()))
}

/// Six and sixteen letters and digits, each equally likely.
fn token() -> Result<String, AdapterError> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    const FAIR: u8 = 252;
    let mut text = String::with_capacity(23);
    while text.len() < 23 {
        if text.len() == 6 {
            text.push('.');
        }
        let [byte] = random()?;
        if byte < FAIR {
            text.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
        }
    }
    Ok(text)
}

fn random<const N: usize>() -> Result<[u8; N], AdapterError> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn failed(error: impl std::fmt::Display) -> AdapterError {
    AdapterError::internal(format!("secrets cannot be made: {error}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A bundle with a small RSA key, which is made at once.
    pub(crate) fn small_bundle() -> String {
        generate_with(1024).unwrap()
    }

    fn shape(value: &Value) -> Value {
        match value {
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(key, value)| (key.clone(), shape(value)))
                    .collect(),
            ),
            Value::String(text) => match pem::decode(text) {
                Ok(block) => block.label.into(),
                Err(_) => text.len().into(),
            },
            other => other.clone(),
        }
    }

    #[test]
    fn a_bundle_has_the_form_of_talosctl() {
        let bundle = yaml::parse(&small_bundle()).unwrap();
        let ec = json!({"crt": "CERTIFICATE", "key": "EC PRIVATE KEY"});
        let expected = json!({
            "cluster": {"id": 44, "secret": 44},
            "secrets": {"bootstraptoken": 23, "secretboxencryptionsecret": 44},
            "trustdinfo": {"token": 23},
            "certs": {
                "etcd": ec,
                "k8s": ec,
                "k8saggregator": ec,
                "k8sserviceaccount": {"key": "RSA PRIVATE KEY"},
                "os": {"crt": "CERTIFICATE", "key": "ED25519 PRIVATE KEY"},
            },
        });
        assert_eq!(shape(&bundle), expected);
        assert_eq!(shape(&bundle).to_string(), expected.to_string());
    }

    #[test]
    fn tokens_are_of_the_alphabet_and_differ() {
        let (one, other) = (token().unwrap(), token().unwrap());
        assert_ne!(one, other);
        let (left, right) = one.split_once('.').unwrap();
        assert_eq!((left.len(), right.len()), (6, 16));
        assert!(
            one.chars()
                .all(|c| c == '.' || c.is_ascii_lowercase() || c.is_ascii_digit())
        );
    }

    #[test]
    fn the_operators_certificate_is_signed_by_the_authority_of_the_bundle() {
        let talos = small_bundle();
        let admin = yaml::parse(&generate_admin(&talos, None).unwrap()).unwrap();
        let talos = yaml::parse(&talos).unwrap();
        assert_eq!(
            shape(&admin),
            json!({"ca": "CERTIFICATE", "crt": "CERTIFICATE", "key": "ED25519 PRIVATE KEY"})
        );
        assert_eq!(admin["ca"], talos["certs"]["os"]["crt"]);
        let der = pem::decode(admin["crt"].as_str().unwrap()).unwrap().der;
        let certificate = Certificate::parse(&der).unwrap();
        let subject: Vec<_> = certificate.subject.iter().collect();
        let organization = DnValue::PrintableString(PrintableString::try_from("os:admin").unwrap());
        assert_eq!(subject, [(&DnType::OrganizationName, &organization)]);
        let ca =
            Certificate::parse(&pem::decode(admin["ca"].as_str().unwrap()).unwrap().der).unwrap();
        let identifier = ca.subject_key_identifier.unwrap();
        assert!(
            der.windows(identifier.len())
                .any(|bytes| bytes == identifier),
            "the authority's key identifier"
        );
    }

    #[test]
    fn a_bundle_with_the_wrong_key_signs_nothing() {
        let (one, other) = (
            yaml::parse(&small_bundle()).unwrap(),
            yaml::parse(&small_bundle()).unwrap(),
        );
        let mut mixed = one;
        mixed["certs"]["os"]["key"] = other["certs"]["os"]["key"].clone();
        let error = generate_admin(&yaml::document(&mixed), None).unwrap_err();
        assert_eq!(
            error.message,
            "the bundle `talos` cannot sign a certificate: `certs.os.key` is not the key of `certs.os.crt`"
        );
    }
}
