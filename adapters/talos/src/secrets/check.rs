//! Checks bundles: every field there, in its form, keys and certificates belonging together, nothing expired. Says fingerprints, never values.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use serde_json::Value;
use ztc_adapter_sdk::protocol::message::{CheckSecretsResult, Severity};
use ztc_adapter_sdk::protocol::sha256_hex;

use super::pem::Block;
use super::x509::Certificate;
use super::{AUTHORITIES, CERTIFICATE_LABEL, EC_LABEL, ED25519_LABEL, RSA_LABEL, pem};
use crate::problem::Findings;
use crate::yaml;

/// How long before its end a certificate is worth a warning.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

const RESTORE: &str = "restore the bundle from a backup; a new one is only right for a cluster that does not exist yet";
const RENEW: &str = "run `ztc secrets talosconfig`: it makes a new certificate from the bundle `talos` and changes nothing else";

/// Checks the cluster's secrets.
pub(crate) fn check(content: &str) -> CheckSecretsResult {
    let mut checker = Checker::new(RESTORE);
    let Some(bundle) = checker.read(content) else {
        return checker.result();
    };
    if let Some((what, help)) = something_else(&bundle) {
        checker.findings.error("", what, help);
        return checker.result();
    }
    if checker.has(&bundle, "/cluster") {
        checker.random(&bundle, "/cluster/id");
        checker.random(&bundle, "/cluster/secret");
    }
    if checker.has(&bundle, "/secrets") {
        checker.token(&bundle, "/secrets/bootstraptoken");
        checker.encryption(&bundle);
    }
    if checker.has(&bundle, "/trustdinfo") {
        checker.token(&bundle, "/trustdinfo/token");
    }
    if checker.has(&bundle, "/certs") {
        for (name, _) in AUTHORITIES {
            checker.authority(&bundle, name);
        }
        checker.service_account(&bundle);
    }
    checker.result()
}

/// Tells other files of Talos from a bundle.
fn something_else(bundle: &Value) -> Option<(&'static str, &'static str)> {
    let has = |key: &str| bundle.get(key).is_some();
    if has("machine") {
        return Some((
            "this is the configuration of a machine, and not a bundle of secrets",
            "make a bundle of a control plane's configuration with `talosctl gen secrets --from-controlplane-config FILE -o secrets.yaml`, and import that",
        ));
    }
    if has("contexts") {
        return Some((
            "this is a talosconfig or a kubeconfig, and not a bundle of secrets",
            "import the bundle that the cluster was made with; `ztc secrets talosconfig` makes a talosconfig of it",
        ));
    }
    None
}

/// Checks the operator's certificate, and that it is of the authority in the cluster's secrets where these are given.
pub(crate) fn check_admin(content: &str, talos: Option<&str>) -> CheckSecretsResult {
    let mut checker = Checker::new(RENEW);
    let Some(bundle) = checker.read(content) else {
        return checker.result();
    };
    checker.certificate(&bundle, "/ca", "authority");
    let certificate = checker.certificate(&bundle, "/crt", "operator");
    checker.key(&bundle, "/key", certificate.as_ref());
    let own = talos.and_then(|text| yaml::parse(text).ok());
    let authority = own.as_ref().and_then(|own| own.pointer("/certs/os/crt"));
    if authority.is_some() && authority != bundle.pointer("/ca") {
        checker.error(
            "/ca",
            "the certificate is of another cluster: the bundle `talos` has another authority",
        );
    }
    checker.result()
}

struct Checker {
    findings: Findings,
    facts: BTreeMap<String, String>,
    help: &'static str,
}

impl Checker {
    fn new(help: &'static str) -> Self {
        Self {
            findings: Findings::default(),
            facts: BTreeMap::new(),
            help,
        }
    }

    fn result(self) -> CheckSecretsResult {
        CheckSecretsResult {
            diagnostics: self.findings.0,
            facts: self.facts,
        }
    }

    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.findings.error(pointer, message, self.help);
    }

    fn read(&mut self, content: &str) -> Option<Value> {
        match yaml::parse(content) {
            Ok(bundle) if bundle.is_object() => Some(bundle),
            // The parser's message could quote a line of the file.
            _ => {
                self.error("", "the bundle is not a YAML mapping");
                None
            }
        }
    }

    fn text<'a>(&mut self, bundle: &'a Value, pointer: &str) -> Option<&'a str> {
        match bundle.pointer(pointer) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            None | Some(Value::Null | Value::String(_)) => {
                self.error(pointer, "it is missing");
                None
            }
            Some(_) => {
                self.error(pointer, "it is not a text");
                None
            }
        }
    }

    /// Whether a part is there; what would be missing in it is not said one by one.
    fn has(&mut self, bundle: &Value, pointer: &str) -> bool {
        let there = bundle.pointer(pointer).is_some_and(Value::is_object);
        if !there {
            self.error(pointer, "it is missing");
        }
        there
    }

    /// A certificate and its key. What is wrong with an authority is one finding, as it is restored as one.
    fn authority(&mut self, bundle: &Value, name: &str) {
        let place = format!("/certs/{name}");
        if !self.has(bundle, &place) {
            return;
        }
        let before = self.findings.0.len();
        let certificate = self.certificate(bundle, &format!("{place}/crt"), name);
        self.key(bundle, &format!("{place}/key"), certificate.as_ref());
        let found = self.findings.0.split_off(before);
        let errors = found
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        if errors.clone().count() < 2 {
            self.findings.0.extend(found);
            return;
        }
        let part = |pointer: &str| pointer[place.len()..].replacen('/', "`", 1);
        let messages: Vec<String> = errors
            .map(|error| format!("{}`: {}", part(&error.pointer), error.message))
            .collect();
        self.error(&place, messages.join("; "));
    }

    /// The key with which the cluster's secrets are encrypted at rest.
    fn encryption(&mut self, bundle: &Value) {
        let pointer = "/secrets/secretboxencryptionsecret";
        let old = bundle.pointer("/secrets/aescbcencryptionsecret");
        match (bundle.pointer(pointer), old) {
            (_, None | Some(Value::Null)) => self.random(bundle, pointer),
            (None | Some(Value::Null), Some(_)) => self.error(
                "/secrets/aescbcencryptionsecret",
                "the bundle encrypts with AES-CBC, as Talos before 1.3 did, and this adapter knows secretbox only",
            ),
            (Some(_), Some(_)) => self.error(
                "/secrets/aescbcencryptionsecret",
                "only one of `secretboxencryptionsecret` and `aescbcencryptionsecret` may be there",
            ),
        }
    }

    fn random(&mut self, bundle: &Value, pointer: &str) {
        let Some(text) = self.text(bundle, pointer) else {
            return;
        };
        let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
        if !bytes.is_ok_and(|bytes| bytes.len() == 32) {
            self.error(pointer, "not base64 of 32 bytes");
        }
    }

    fn token(&mut self, bundle: &Value, pointer: &str) {
        let Some(text) = self.text(bundle, pointer) else {
            return;
        };
        let plain = |part: &str| {
            part.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        let good = text.split_once('.').is_some_and(|(left, right)| {
            (left.len(), right.len()) == (6, 16) && plain(left) && plain(right)
        });
        if !good {
            self.error(pointer, "not a token: six and sixteen lower-case letters and digits with a dot between them");
        }
    }

    fn block(&mut self, bundle: &Value, pointer: &str) -> Option<Block> {
        let text = self.text(bundle, pointer)?;
        pem::decode(text)
            .map_err(|why| self.error(pointer, why))
            .ok()
    }

    fn certificate(&mut self, bundle: &Value, pointer: &str, name: &str) -> Option<Certificate> {
        let block = self.block(bundle, pointer)?;
        let certificate =
            Certificate::parse(&block.der).filter(|_| block.label == CERTIFICATE_LABEL);
        let Some(certificate) = certificate else {
            self.error(pointer, "not a certificate");
            return None;
        };
        let last_day = certificate.last_day();
        self.facts.insert(
            format!("{name} certificate"),
            format!("sha256:{}", sha256_hex(&block.der)),
        );
        self.facts
            .insert(format!("{name} certificate expires"), last_day.clone());
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        match certificate.remaining(now) {
            None => self.error(pointer, format!("the certificate expired on {last_day}")),
            Some(remaining) if remaining < SOON => {
                self.findings.warn(
                    pointer,
                    format!("the certificate expires on {last_day}"),
                    self.help,
                );
            }
            Some(_) => {}
        }
        Some(certificate)
    }

    fn key(&mut self, bundle: &Value, pointer: &str, certificate: Option<&Certificate>) {
        let Some(block) = self.block(bundle, pointer) else {
            return;
        };
        let Some(public) = public_key(&block) else {
            self.error(pointer, "not a private key of the kind that belongs here");
            return;
        };
        if certificate.is_some_and(|certificate| certificate.key != public) {
            self.error(pointer, "not the key of the certificate beside it");
        }
    }

    fn service_account(&mut self, bundle: &Value) {
        let pointer = "/certs/k8sserviceaccount/key";
        let Some(block) = self.block(bundle, pointer) else {
            return;
        };
        // Clusters from before Talos 1.7 have an elliptic key.
        let good = match block.label.as_str() {
            RSA_LABEL => {
                use rsa::pkcs1::DecodeRsaPrivateKey as _;
                rsa::RsaPrivateKey::from_pkcs1_der(&block.der).is_ok()
            }
            _ => public_key(&block).is_some(),
        };
        if good {
            self.facts.insert(
                "service account key".into(),
                format!("sha256:{}", sha256_hex(&block.der)),
            );
        } else {
            self.error(pointer, "not a private key of the kind that belongs here");
        }
    }
}

fn public_key(block: &Block) -> Option<Vec<u8>> {
    let key = match block.label.as_str() {
        ED25519_LABEL => {
            KeyPair::from_pkcs8_der_and_sign_algo(&block.der.as_slice().into(), &PKCS_ED25519)
                .ok()?
        }
        EC_LABEL => {
            let pkcs8 = pem::pkcs8_of_sec1(&block.der)?;
            KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.into(), &PKCS_ECDSA_P256_SHA256).ok()?
        }
        _ => return None,
    };
    Some(key.public_key_raw().to_vec())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::generate::generate_admin;
    use super::super::generate::tests::small_bundle;
    use super::*;

    fn found(bundle: &Value) -> Vec<String> {
        let line = |finding: ztc_adapter_sdk::protocol::message::Diagnostic| {
            format!("{}: {}", finding.pointer, finding.message)
        };
        check(&yaml::document(bundle))
            .diagnostics
            .into_iter()
            .map(line)
            .collect()
    }

    #[test]
    fn a_new_bundle_is_good_and_says_its_fingerprints() {
        let result = check(&small_bundle());
        assert_eq!(result.diagnostics, []);
        let names: Vec<&str> = result.facts.keys().map(String::as_str).collect();
        let expected = [
            "etcd certificate",
            "etcd certificate expires",
            "k8s certificate",
            "k8s certificate expires",
            "k8saggregator certificate",
            "k8saggregator certificate expires",
            "os certificate",
            "os certificate expires",
            "service account key",
        ];
        assert_eq!(names, expected);
        assert!(result.facts["os certificate"].starts_with("sha256:"));
    }

    #[test]
    fn the_operators_certificate_is_good() {
        let talos = small_bundle();
        let admin = generate_admin(&talos, None).unwrap();
        let result = check_admin(&admin, Some(&talos));
        assert_eq!(result.diagnostics, []);
        assert_eq!(result.facts.len(), 4);
        let other = check_admin(&admin, Some(&small_bundle()));
        assert_eq!(
            other.diagnostics[0].message,
            "the certificate is of another cluster: the bundle `talos` has another authority"
        );
        let short = check_admin(&generate_admin(&talos, Some(29 * 24)).unwrap(), None);
        assert!(
            short.diagnostics[0].severity == Severity::Warning
                && short.diagnostics[0]
                    .message
                    .starts_with("the certificate expires on "),
            "{:?}",
            short.diagnostics
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_without_its_value() {
        let mut bundle = yaml::parse(&small_bundle()).unwrap();
        let other = yaml::parse(&small_bundle()).unwrap();
        bundle["cluster"]
            .as_object_mut()
            .unwrap()
            .shift_remove("secret");
        bundle["cluster"]["id"] = json!("abc");
        bundle["secrets"]["bootstraptoken"] = json!("short.token");
        bundle["trustdinfo"]["token"] = json!(17);
        bundle["certs"]["etcd"]["crt"] = json!("not base64!");
        bundle["certs"]["k8s"]["key"] = other["certs"]["k8s"]["key"].clone();
        bundle["certs"]["os"]["key"] = bundle["certs"]["os"]["crt"].clone();
        bundle["certs"]["k8sserviceaccount"]["key"] = json!("");
        bundle["certs"]["k8saggregator"] = json!({"crt": "", "key": ""});
        assert_eq!(
            found(&bundle),
            [
                "/cluster/id: not base64 of 32 bytes",
                "/cluster/secret: it is missing",
                "/secrets/bootstraptoken: not a token: six and sixteen lower-case letters and digits with a dot between them",
                "/trustdinfo/token: it is not a text",
                "/certs/etcd/crt: it is not base64",
                "/certs/k8s/key: not the key of the certificate beside it",
                "/certs/k8saggregator: `crt`: it is missing; `key`: it is missing",
                "/certs/os/key: not a private key of the kind that belongs here",
                "/certs/k8sserviceaccount/key: it is missing",
            ]
        );
        let mut parts = yaml::parse(&small_bundle()).unwrap();
        let secrets = parts["secrets"].as_object_mut().unwrap();
        let key = secrets.shift_remove("secretboxencryptionsecret").unwrap();
        secrets.insert("aescbcencryptionsecret".into(), key.clone());
        let old = "/secrets/aescbcencryptionsecret: the bundle encrypts with AES-CBC, as Talos before 1.3 did, and this adapter knows secretbox only";
        assert_eq!(found(&parts), [old]);
        parts["secrets"]["secretboxencryptionsecret"] = key;
        parts["certs"].as_object_mut().unwrap().shift_remove("k8s");
        parts.as_object_mut().unwrap().shift_remove("trustdinfo");
        assert_eq!(
            found(&parts),
            [
                "/secrets/aescbcencryptionsecret: only one of `secretboxencryptionsecret` and `aescbcencryptionsecret` may be there",
                "/trustdinfo: it is missing",
                "/certs/k8s: it is missing",
            ]
        );
        assert_eq!(
            check("- 1").diagnostics[0].message,
            "the bundle is not a YAML mapping"
        );
    }

    #[test]
    fn other_files_of_talos_are_told_by_name() {
        for (text, message) in [
            (
                "machine: {}\ncluster: {}\n",
                "this is the configuration of a machine, and not a bundle of secrets",
            ),
            (
                "context: a\ncontexts: {}\n",
                "this is a talosconfig or a kubeconfig, and not a bundle of secrets",
            ),
        ] {
            let found = super::check(text).diagnostics;
            let messages: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
            assert_eq!(messages, [message]);
        }
    }
}
