//! The forms of single values: durations, sizes, networks, ports, base64 and PEM. Each says what is wrong in words that follow the value.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a placeholder for a secret of ours begins; the value is filled in while a stage runs.
pub(crate) const PLACEHOLDER: &str = "ztc-secret:";

/// What `talosctl` writes in place of a secret.
pub(crate) const BLACKED_OUT: &str = "******";

/// A duration such as `1h30m`, in nanoseconds.
pub(crate) fn duration(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number = &rest[..end];
        if !number.contains(|c: char| c.is_ascii_digit()) || number.matches('.').count() > 1 {
            return None;
        }
        let unit_end = rest[end..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |at| at + end);
        let unit = match &rest[end..unit_end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.trim_end_matches('.').parse::<f64>().ok()? * unit;
        rest = &rest[unit_end..];
    }
    (total < 9.2e18).then_some(sign * total)
}

/// A size such as `100GB` or `1.5 TiB`, in bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
        .unwrap_or(text.len());
    let number = text[..end].replace(',', "").parse::<f64>().ok()?;
    let unit = text[end..].trim().to_lowercase();
    let (letter, base) = match unit.as_str() {
        "" | "b" => ("", 1.0),
        unit => match (unit.strip_suffix("ib"), unit.strip_suffix('i')) {
            (Some(letter), _) | (_, Some(letter)) => (letter, 1024.0),
            _ => (unit.strip_suffix('b').unwrap_or(unit), 1000.0),
        },
    };
    let power = ["", "k", "m", "g", "t", "p", "e"]
        .iter()
        .position(|known| *known == letter)?;
    if power == 0 && base > 1.0 {
        return None;
    }
    let bytes = number * f64::powi(base, i32::try_from(power).ok()?);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range, and a fraction of a byte is nothing"
    )]
    (bytes < 18_446_744_073_709_551_616.0).then_some(bytes as u64)
}

/// A size with an optional comparison, such as `>= 100GB`.
pub(crate) fn is_disk_size(text: &str) -> bool {
    let text = text.trim();
    let rest = [">=", "<=", "==", ">", "<"]
        .iter()
        .find_map(|sign| text.strip_prefix(sign))
        .unwrap_or(text);
    size(rest.trim()).is_some()
}

/// A network such as `10.0.0.0/8`; bits of hosts may be set.
pub(crate) fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let width = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    let plain = bits.len() == 1 || !bits.starts_with('0');
    plain && is_bits(bits, width)
}

/// The same where Talos takes zeros before the bits, as in `10.0.0.0/08`.
pub(crate) fn is_lenient_network(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let bits = bits.trim_start_matches('0');
        is_network(&format!(
            "{address}/{}",
            if bits.is_empty() { "0" } else { bits }
        )) && text.len() > address.len() + 1
    })
}

fn is_bits(bits: &str, width: u8) -> bool {
    bits.chars().all(|c| c.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= width)
}

/// An address without a network.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// A network or an address; `!` before it leaves it out.
pub(crate) fn is_subnet_filter(text: &str) -> bool {
    let text = text.strip_prefix('!').unwrap_or(text);
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    is_network(text) || is_address(address)
}

/// `address:port`.
pub(crate) fn is_address_port(text: &str) -> bool {
    // The zone of a link-local address is a name, and Rust reads numbers only.
    let without_zone = text.split_once('%').and_then(|(address, rest)| {
        let (zone, port) = rest.split_once(']')?;
        (!zone.is_empty()).then(|| format!("{address}]{port}"))
    });
    without_zone
        .as_deref()
        .unwrap_or(text)
        .parse::<SocketAddr>()
        .is_ok()
}

/// A port or a range such as `1200-1299`.
pub(crate) fn ports(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_digit())
            .then(|| text.parse::<u16>().ok())
            .flatten()
    };
    match text.split_once('-') {
        Some((low, high)) => Some((number(low)?, number(high)?)),
        None => number(text).map(|port| (port, port)),
    }
}

/// What a base64 text holds, or what is wrong with it.
pub(crate) fn base64(text: &str) -> Result<Vec<u8>, String> {
    let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(joined).map_err(|error| match error {
        base64::DecodeError::InvalidByte(at, _) => {
            format!(
                "is not base64: the character at position {} does not belong there",
                at + 1
            )
        }
        base64::DecodeError::InvalidLastSymbol { .. } | base64::DecodeError::InvalidPadding => {
            "is not base64: its end is wrong".to_owned()
        }
        _ => "is not base64: its length is wrong".to_owned(),
    })
}

/// Says what is wrong with bytes that should be a PEM text whose label ends with these words.
pub(crate) fn check_pem(bytes: &[u8], label: &str) -> Result<(), String> {
    let content = std::str::from_utf8(bytes).map_err(|_| no_pem(label))?;
    check_pem_text(content, label)
}

/// Says what is wrong with a PEM text whose label ends with these words.
pub(crate) fn check_pem_text(content: &str, label: &str) -> Result<(), String> {
    let (_, rest) = content
        .split_once("-----BEGIN ")
        .ok_or_else(|| no_pem(label))?;
    let (found, rest) = rest.split_once("-----").ok_or_else(|| no_pem(label))?;
    if !found.ends_with(label) {
        return Err(format!("holds a `{found}` and not a `{label}`"));
    }
    let (body, _) = rest
        .split_once(&format!("-----END {found}-----"))
        .ok_or_else(|| format!("holds PEM whose end `-----END {found}-----` is missing"))?;
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    match STANDARD.decode(body) {
        Ok(bytes) if !bytes.is_empty() => Ok(()),
        _ => Err("holds PEM whose content is damaged".into()),
    }
}

fn no_pem(label: &str) -> String {
    format!("does not hold PEM with a `{label}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanoseconds) in [
            ("0", 0.0),
            ("10s", 1e10),
            ("1h30m", 5.4e12),
            ("-1.5ms", -1.5e6),
            (".5s", 5e8),
        ] {
            assert_eq!(duration(text), Some(nanoseconds), "{text}");
        }
        for bad in ["", "10", "s", "1d", "1 s", "1.2.3s", "+", "."] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("100GB", 100_000_000_000),
            ("1 KiB", 1024),
            ("1,000", 1000),
            ("2ti", 2_199_023_255_552),
            ("5b", 5),
            ("1.5k", 1500),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "lots", "5XB", "-5GB", "5 ib", "5i", "1e30eb"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        for good in [">= 100GB", "<5GB", "== 1TiB", " 7"] {
            assert!(is_disk_size(good), "{good}");
        }
        for bad in ["=> 5GB", "lots", ">= ", "!= 5GB"] {
            assert!(!is_disk_size(bad), "{bad}");
        }
    }

    #[test]
    fn networks_and_ports() {
        for good in [
            "10.0.0.0/8",
            "!10.0.0.0/8",
            "10.0.0.1",
            "fd00::/64",
            "!fd00::1",
        ] {
            assert!(is_subnet_filter(good), "{good}");
        }
        for bad in [
            "10",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "1234:",
            "123::/456",
            "",
            "!!10.0.0.0/8",
        ] {
            assert!(!is_subnet_filter(bad), "{bad}");
        }
        assert_eq!(ports("80"), Some((80, 80)));
        assert_eq!(ports("80-90"), Some((80, 90)));
        for bad in ["", "-", "80-", "65536", "a", "1-2-3"] {
            assert_eq!(ports(bad), None, "{bad}");
        }
        for (text, good) in [
            ("10.0.0.0/08", true),
            ("fd00::/00", true),
            ("10.0.0.0/", false),
            ("10.0.0.0/033", false),
        ] {
            assert_eq!(is_lenient_network(text), good, "{text}");
        }
        assert!(is_address_port("[::1]:51820") && !is_address_port("10.0.0.1"));
    }

    #[test]
    fn base64_and_pem() {
        let pem = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let encoded = STANDARD.encode(pem);
        let checked = |text: &str, label| base64(text).and_then(|bytes| check_pem(&bytes, label));
        assert_eq!(checked(&encoded, "PRIVATE KEY"), Ok(()));
        for (text, label, why) in [
            (
                encoded.as_str(),
                "CERTIFICATE",
                "holds a `EC PRIVATE KEY` and not a `CERTIFICATE`",
            ),
            (
                "Zm9v",
                "CERTIFICATE",
                "does not hold PEM with a `CERTIFICATE`",
            ),
            (
                "no%base",
                "CERTIFICATE",
                "is not base64: the character at position 3 does not belong there",
            ),
            ("Zm9", "CERTIFICATE", "is not base64: its end is wrong"),
        ] {
            assert_eq!(checked(text, label).unwrap_err(), why);
        }
    }
}
