//! Whose certificates count: those of the authorities of this machine, as for every other program on it, so that a company's own authority
//! and its proxies work. Mozilla's count only where the machine has none. Says what is wrong with a certificate; asks nobody.

use std::sync::{Arc, OnceLock};

use rustls::CertificateError;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ztc_adapter_sdk::certificates::{Authorities, Origin};

use crate::error::{Exit, Failure};

/// The authorities that count, read once.
fn authorities() -> Result<&'static (TlsConfig, Origin), Failure> {
    static FOUND: OnceLock<(TlsConfig, Origin)> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found);
    }
    let found = find()?;
    Ok(FOUND.get_or_init(|| found))
}

fn find() -> Result<(TlsConfig, Origin), Failure> {
    let Authorities {
        origin,
        certificates,
        problems,
    } = ztc_adapter_sdk::certificates::authorities();
    for error in &problems {
        tracing::debug!(%error, "some certificates of authorities cannot be read");
    }
    let roots = match origin {
        Origin::Variable(variable) if certificates.is_empty() => {
            let mut failure = Failure::invalid(format!(
                "`{variable}` names no certificates of authorities that can be read"
            ))
            .help(format!(
                "name a file of certificates in PEM (`-----BEGIN CERTIFICATE-----`), or leave `{variable}` out: then those of this machine count"
            ));
            failure.details = problems;
            return Err(failure);
        }
        Origin::Variable(_) | Origin::Machine => RootCerts::Specific(Arc::new(
            certificates
                .iter()
                .map(|der| Certificate::from_der(der).to_owned())
                .collect(),
        )),
        Origin::Nowhere => RootCerts::WebPki,
    };
    Ok((TlsConfig::builder().root_certs(roots).build(), origin))
}

/// How TLS is spoken.
pub(crate) fn config() -> Result<TlsConfig, Failure> {
    Ok(authorities()?.0.clone())
}

/// Says what is wrong with the certificate that `at` has shown; nothing where something else went wrong.
pub(crate) fn problem(place: &str, at: &str, error: &ureq::Error) -> Option<Failure> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    let rustls::Error::InvalidCertificate(why) = error else {
        return None;
    };
    let refused = |message: String, help: &str| {
        Failure::new(Exit::Refused, message)
            .detail(format!("asked: {at}"))
            .help(help)
    };
    Some(match why {
        CertificateError::UnknownIssuer => refused(
            format!("`{place}` shows a certificate of an authority that this machine does not trust"),
            "where it is your organization's authority, add its certificate to those of this machine (`update-ca-certificates`, on macOS the keychain), or name a file of all authorities that are to count: `SSL_CERT_FILE=FILE`; otherwise somebody else answers in its place",
        )
        .detail(format!("trusted are {}", whose())),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => refused(
            format!("`{place}` shows a certificate for another host"),
            "name the source by the host that its certificate is for; otherwise somebody else answers in its place",
        ),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => refused(
            format!("`{place}` shows a certificate that is not valid now"),
            "look whether the clock of this machine is right; otherwise tell whoever runs the server",
        )
        .detail(why),
        _ => refused(
            format!("`{place}` shows a certificate that cannot be accepted"),
            "tell whoever runs the server",
        )
        .detail(why),
    })
}

fn whose() -> String {
    match authorities().map(|(_, origin)| *origin) {
        Ok(Origin::Variable(name)) => format!("those that `{name}` names, and no others"),
        Ok(Origin::Nowhere) | Err(_) => {
            "those that Mozilla lists, because this machine has none".to_owned()
        }
        Ok(Origin::Machine) => "those of this machine".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_with_something_else_wrong_is_refused_too() {
        let error = rustls::Error::InvalidCertificate(CertificateError::Revoked);
        let failure = problem("there", "https://there/", &ureq::Error::Rustls(error)).unwrap();
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (
                Exit::Refused,
                "`there` shows a certificate that cannot be accepted"
            )
        );
        let other = rustls::Error::HandshakeNotComplete;
        assert!(problem("there", "", &ureq::Error::Rustls(other)).is_none());
    }
}
