//! Keeps every secret value that was resolved and takes it out of whatever is about to be shown or stored.
//!
//! Values live in memory only. Short values (under [`SHORTEST`] bytes) are not searched for: they would hit everywhere.

use std::sync::{Arc, RwLock};

/// The shortest value that is searched for, in bytes.
pub const SHORTEST: usize = 6;

/// What a value is replaced by.
pub const MASK: &str = "********";

/// The values to take out; clones share them.
#[derive(Clone, Default)]
pub struct Mask {
    values: Arc<RwLock<Vec<(String, String)>>>,
}

impl Mask {
    /// Adds a secret: a name that may be shown and the value that may not. Each line of a value of several lines counts too.
    pub fn add(&self, name: &str, value: &str) {
        let mut values = self
            .values
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let lines = value
            .lines()
            .map(str::trim)
            .filter(|line| *line != value && line.len() >= 16 && !line.starts_with("-----"));
        for text in std::iter::once(value.trim()).chain(lines) {
            if text.len() >= SHORTEST && !values.iter().any(|(_, known)| known == text) {
                values.push((name.to_owned(), text.to_owned()));
            }
        }
        // The longest first: one value may contain another.
        values.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.cmp(b)));
    }

    /// Returns the text without the values.
    pub fn apply(&self, text: &str) -> String {
        let values = self
            .values
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = std::borrow::Cow::Borrowed(text);
        for (_, value) in values.iter() {
            if text.contains(value.as_str()) {
                text = std::borrow::Cow::Owned(text.replace(value.as_str(), MASK));
            }
        }
        text.into_owned()
    }

    /// Returns the bytes without the values.
    pub fn apply_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let values = self
            .values
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut masked = bytes.to_vec();
        for (_, value) in values.iter() {
            let mut rest = masked.as_slice();
            let mut next = Vec::new();
            while let Some(start) = find(rest, value.as_bytes()) {
                next.extend_from_slice(&rest[..start]);
                next.extend_from_slice(MASK.as_bytes());
                rest = &rest[start + value.len()..];
            }
            if !next.is_empty() {
                next.extend_from_slice(rest);
                masked = next;
            }
        }
        masked
    }

    /// Returns all values, for a stream that searches for them itself.
    pub(crate) fn values(&self) -> Vec<String> {
        let values = self
            .values
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        values.iter().map(|(_, value)| value.clone()).collect()
    }

    /// Returns the name of a secret whose value is in the bytes.
    pub fn leak(&self, bytes: &[u8]) -> Option<String> {
        let values = self
            .values
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        values
            .iter()
            .find(|(_, value)| find(bytes, value.as_bytes()).is_some())
            .map(|(name, _)| name.clone())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(offset) = haystack.get(from..)?.iter().position(|byte| *byte == first) {
        let start = from + offset;
        if haystack[start..].starts_with(needle) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask() -> Mask {
        let mask = Mask::default();
        mask.add("token", "s3cret-value");
        mask.add("longer", "s3cret-value-and-more");
        mask.add("short", "abc");
        mask.add(
            "key",
            "-----BEGIN KEY-----\nAAAABBBBCCCCDDDDEEEE\n-----END KEY-----\n",
        );
        mask
    }

    #[test]
    fn values_are_replaced_the_longest_first_and_short_ones_left() {
        assert_eq!(
            mask().apply("a s3cret-value-and-more b s3cret-value c abc"),
            "a ******** b ******** c abc"
        );
        assert_eq!(
            mask().apply_bytes(b"\xff s3cret-value\n"),
            b"\xff ********\n"
        );
    }

    #[test]
    fn a_value_like_the_mask_comes_to_an_end() {
        let mask = Mask::default();
        mask.add("stars", "******");
        assert_eq!(mask.apply_bytes(b"a ****** b"), b"a ******** b");
    }

    #[test]
    fn one_line_of_a_key_is_a_leak() {
        assert_eq!(
            mask().leak(b"x AAAABBBBCCCCDDDDEEEE y").as_deref(),
            Some("key")
        );
        assert_eq!(mask().leak(b"-----BEGIN KEY-----"), None);
    }
}
