//! Words of a POSIX shell: what scripts are given and what people are told to type means itself, whatever stands in it. Runs nothing.

/// Quotes a word for a POSIX shell.
pub(crate) fn quoted(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| format!("'{}'", text.replace('\'', r"'\''")))
}

/// Quotes a word for people to type: as it is where no shell would change it.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    match quoted(text) {
        Some(quoted) if text.is_empty() || !text.chars().all(plain) => quoted,
        _ => text.to_owned(),
    }
}
