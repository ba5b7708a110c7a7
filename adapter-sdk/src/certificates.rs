//! Whose certificates count where TLS is spoken: those of the authorities of the operator's machine, as for its other programs, so that a company's own authority
//! and its proxies work. This module reads them; it connects to nothing.
//!
//! ztc hands `SSL_CERT_FILE` and `SSL_CERT_DIR` on to every adapter, and its sandbox lets adapters read what they name and where systems keep theirs.

/// The variables that name authorities in place of the machine's own, as OpenSSL and others understand them: a file of certificates in PEM, and a directory of such
/// files.
pub const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Where authorities come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator names them in this variable, and no others count.
    Variable(&'static str),
    /// The machine has them: files on Linux, the keychain on macOS.
    Machine,
    /// The machine has none, as in a bare container: what the program itself brings may count.
    Nowhere,
}

/// The authorities that count.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// Where they come from.
    pub origin: Origin,
    /// Their certificates, DER. Empty under [`Origin::Variable`] where the variable names nothing that can be read: then no connection should be made.
    pub certificates: Vec<Vec<u8>>,
    /// What could not be read, for people.
    pub problems: Vec<String>,
}

/// Reads the authorities that count. On a machine with some hundred of them that takes a few milliseconds.
pub fn authorities() -> Authorities {
    let variable = VARIABLES
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let found = rustls_native_certs::load_native_certs();
    Authorities {
        origin: match variable {
            Some(variable) => Origin::Variable(variable),
            None if found.certs.is_empty() => Origin::Nowhere,
            None => Origin::Machine,
        },
        certificates: found.certs.iter().map(|der| der.to_vec()).collect(),
        problems: found.errors.iter().map(ToString::to_string).collect(),
    }
}
