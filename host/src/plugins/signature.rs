//! Keys and signatures in minisign's form: made with the crate of minisign's author, verified with its small sibling. Shows no secret key.

use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minisign::{ErrorKind, KeyPair, SecretKey, SecretKeyBox};
use minisign_verify::{Error, PublicKey, Signature};

use crate::error::{Exit, Failure};
use crate::foreign::printable;

/// The variable that holds the password of a secret key.
pub(crate) const PASSWORD: &str = "ZTC_KEY_PASSWORD";

/// A public key, as minisign writes it on the second line of its file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    text: String,
    key: PublicKey,
}

impl Key {
    /// Reads a key from its text, alone or with minisign's comment before it.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let line = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .find(|line| !line.starts_with("untrusted comment:"))
            .unwrap_or_default();
        match PublicKey::from_base64(line) {
            Ok(key) => Ok(Self {
                text: line.to_owned(),
                key,
            }),
            // It may come from a server, and nobody has signed it.
            Err(_) => Err(Failure::invalid(format!(
                "`{}` is not a public key of minisign",
                printable(line)
            ))
            .help(
                "give the line that begins with `RW`, as it stands in the publisher's `.pub` file",
            )),
        }
    }

    /// The text that stands for it everywhere.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The key with the number by which minisign tells keys apart, for people who compare it.
    pub(crate) fn shown(&self) -> String {
        format!(
            "{} (id {})",
            self.text,
            id_of(&self.text).unwrap_or_default()
        )
    }

    /// Verifies the text of a signature. `what` is the name of the signed file.
    pub(crate) fn verify(
        &self,
        content: &[u8],
        signature: &str,
        what: &str,
        place: &str,
    ) -> Result<(), Refused> {
        let refused = |why: String| {
            Refused::Wrong(Box::new(Failure::new(Exit::Refused, why).help(
                "do not use this tree: tell its publisher by another way than this source",
            )))
        };
        let signature = Signature::decode(signature).map_err(|_| {
            refused(format!(
                "`{what}.minisig` of `{place}` is not a signature of minisign"
            ))
        })?;
        match self.key.verify(content, &signature, false) {
            Ok(()) => Ok(()),
            Err(Error::UnexpectedKeyId) => Err(Refused::OtherKey),
            Err(_) => Err(refused(format!(
                "`{what}` of `{place}` is not what its publisher signed: the signature does not fit its bytes"
            ))),
        }
    }
}

/// Names the key that a signature says it was made with, as minisign does on the first line of a `.pub` file. Only the number is there, and
/// whether it is true only the key itself can tell.
pub(crate) fn signed_with(signature: &str) -> String {
    let id = signature.lines().nth(1).and_then(id_of);
    format!("a key with the id {}", id.unwrap_or_default())
}

/// The number of a key, from the text of a key or of a signature: after two letters for the algorithm come its eight bytes, the lowest first.
fn id_of(line: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(line.trim()).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

/// Why a signature is not accepted.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Another key has made it.
    OtherKey,
    /// It is none, or of other bytes.
    Wrong(Box<Failure>),
}

/// A secret key, ready to sign.
pub(crate) struct Signer {
    secret: SecretKey,
    public: Key,
}

impl Signer {
    /// Reads a secret key. `password` is asked for only where the key has one.
    pub(crate) fn open(
        path: &Path,
        password: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<Self, Failure> {
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
        let bad = |why: String| {
            Failure::invalid(format!(
                "`{}` cannot be used as a secret key: {why}",
                path.display()
            ))
            .help("make one with `ztc plugins keygen FILE`, or with `minisign -G`")
        };
        let plain =
            SecretKeyBox::from_string(&text).and_then(SecretKeyBox::into_unencrypted_secret_key);
        let secret = match (plain, bytes(&text)) {
            (Ok(secret), _) => secret,
            (Err(_), None) => {
                return Err(bad("it has another form".to_owned()));
            }
            (Err(_), Some(bytes)) if has_no_password(&bytes) => {
                SecretKey::from_bytes(&bytes).map_err(|error| bad(error.to_string()))?
            }
            (Err(_), Some(_)) => {
                let password = password()?;
                SecretKeyBox::from_string(&text)
                    .and_then(|secret| secret.into_secret_key(Some(password)))
                    .map_err(|error| match error.kind() {
                        ErrorKind::Verify => Failure::invalid(format!(
                            "the password does not open the secret key `{}`",
                            path.display()
                        ))
                        .help(format!("type it again, or correct `{PASSWORD}`")),
                        _ => bad(error.to_string()),
                    })?
            }
        };
        let public = minisign::PublicKey::from_secret_key(&secret)
            .map_err(|error| bad(error.to_string()))?;
        let signer = Self {
            public: Key::parse(&public.to_base64())?,
            secret,
        };
        // Where there is no checksum, only this tells that its two halves belong together.
        let probe = signer.sign(b"", "a probe")?;
        match signer.public.verify(b"", &probe, "", "") {
            Ok(()) => Ok(signer),
            Err(_) => Err(bad(
                "its secret half and its public half do not fit".to_owned()
            )),
        }
    }

    /// Its public half.
    pub(crate) fn public(&self) -> &Key {
        &self.public
    }

    /// Signs. The trusted comment is signed too and says what it is.
    pub(crate) fn sign(&self, content: &[u8], what: &str) -> Result<String, Failure> {
        minisign::sign(
            None,
            &self.secret,
            Cursor::new(content),
            Some(what),
            Some("signature of a tree of adapters for ztc"),
        )
        .map(|signature| signature.into_string())
        .map_err(|error| {
            Failure::failed(format!("failed to sign `{what}`"))
                .detail(error)
                .help("report this to the authors of ztc, with the whole command")
        })
    }
}

/// The texts of a new pair: secret, public.
pub(crate) fn new_pair(password: Option<String>) -> Result<(String, String), Failure> {
    let pair = match &password {
        Some(_) => KeyPair::generate_encrypted_keypair(password),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    pair.and_then(|KeyPair { pk, sk }| {
        Ok((
            sk.to_box(Some("secret key of a publisher of adapters for ztc"))?
                .into_string(),
            pk.to_box()?.into_string(),
        ))
    })
    .map_err(|error| {
        Failure::failed("failed to make a key")
            .detail(error)
            .help("report this to the authors of ztc, with the whole command")
    })
}

/// The bytes of a secret key, whatever its encryption; nothing where a text has another form.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let line = text.lines().nth(1)?.trim();
    let bytes = BASE64_STANDARD.decode(line).ok()?;
    (bytes.len() == 158).then_some(bytes)
}

/// Whether a key is one that the original minisign has made without a password (`minisign -G -W`): it leaves the checksum out.
fn has_no_password(bytes: &[u8]) -> bool {
    let (kdf, checksum) = (&bytes[2..4], &bytes[126..]);
    kdf == [0, 0] && checksum.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(directory: &Path, name: &str) -> Signer {
        let path = directory.join(name);
        std::fs::write(&path, new_pair(None).unwrap().0).unwrap();
        Signer::open(&path, || panic!("it has no password")).unwrap()
    }

    #[test]
    fn what_was_signed_is_verified_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let signer = signer(directory.path(), "a.key");
        let signature = signer.sign(b"content", "index.json").unwrap();
        let verify = |key: &Key, content: &[u8], signature: &str| match key.verify(
            content,
            signature,
            "index.json",
            "there",
        ) {
            Ok(()) => "good".to_owned(),
            Err(Refused::OtherKey) => "other key".to_owned(),
            Err(Refused::Wrong(failure)) => failure.message,
        };
        assert_eq!(verify(signer.public(), b"content", &signature), "good");
        let other = "`index.json` of `there` is not what its publisher signed: the signature does not fit its bytes";
        assert_eq!(verify(signer.public(), b"contend", &signature), other);
        let comment = signature.replace("index.json", "other.json");
        assert_eq!(verify(signer.public(), b"content", &comment), other);
        assert_eq!(
            verify(signer.public(), b"content", "nonsense"),
            "`index.json.minisig` of `there` is not a signature of minisign"
        );
        let stranger = self::signer(directory.path(), "b.key");
        assert_eq!(
            verify(stranger.public(), b"content", &signature),
            "other key"
        );
    }

    #[test]
    fn keys_have_the_number_that_minisign_writes_above_them() {
        let directory = tempfile::tempdir().unwrap();
        let signer = signer(directory.path(), "a.key");
        let file = new_pair(None).unwrap().1;
        let comment = |file: &str| file.lines().next().unwrap().to_owned();
        let key = Key::parse(&file).unwrap();
        let id = id_of(key.text()).unwrap();
        assert!(comment(&file).ends_with(&format!(" {id}")), "{file}");
        assert_eq!(key.shown(), format!("{} (id {id})", key.text()));
        let signature = signer.sign(b"content", "index.json").unwrap();
        let id = id_of(signer.public().text()).unwrap();
        let said = signed_with(&signature);
        assert_eq!(said, format!("a key with the id {id}"));
    }

    #[test]
    fn a_key_of_minisign_without_a_password_has_no_checksum_and_will_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.key");
        let (secret, public) = new_pair(None).unwrap();
        let open = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes(&secret).unwrap();
            bytes[126..].fill(0);
            change(&mut bytes);
            let text = format!("untrusted comment: x\n{}\n", BASE64_STANDARD.encode(&bytes));
            std::fs::write(&path, text).unwrap();
            Signer::open(&path, || panic!("it has no password"))
        };
        let signer = open(&|_| {}).unwrap();
        assert!(public.contains(signer.public().text()));
        let failure = open(&|bytes| bytes[70] ^= 1).err().unwrap();
        assert!(
            failure
                .message
                .ends_with("its secret half and its public half do not fit"),
            "{failure}"
        );
    }

    #[test]
    fn what_is_no_key_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.key");
        std::fs::write(&path, "untrusted comment: x\nnonsense\n").unwrap();
        let failure = Signer::open(&path, || panic!("not asked")).err().unwrap();
        assert!(
            failure
                .message
                .ends_with("cannot be used as a secret key: it has another form")
        );
        let (_, public) = new_pair(None).unwrap();
        assert!(public.contains(Key::parse(&public).unwrap().text()));
        assert_eq!(
            Key::parse("RWnonsense").unwrap_err().message,
            "`RWnonsense` is not a public key of minisign"
        );
    }
}
