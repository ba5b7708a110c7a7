//! The content of the files that a section names, wherever the host has put it. Reads the scratch directory, never the repository.

use std::collections::BTreeMap;

use ztc_protocol::ErrorCode;
use ztc_protocol::message::InputFile;

use crate::AdapterError;

/// Returns the text of a file that the section names; `path` as it stands there.
pub fn file_text(files: &BTreeMap<String, InputFile>, path: &str) -> Result<String, AdapterError> {
    String::from_utf8(file_bytes(files, path)?).map_err(|_| {
        AdapterError::new(
            ErrorCode::InvalidInputs,
            format!("`{path}` is not text in UTF-8"),
        )
    })
}

/// Returns the content of a file that the section names; `path` as it stands there.
pub fn file_bytes(
    files: &BTreeMap<String, InputFile>,
    path: &str,
) -> Result<Vec<u8>, AdapterError> {
    let Some(file) = files.get(path) else {
        return Err(AdapterError::new(
            ErrorCode::InvalidInputs,
            format!("the content of `{path}` was not handed over"),
        ));
    };
    match &file.content_file {
        None => Ok(file.content.clone().into_bytes()),
        Some(content) => std::fs::read(content).map_err(|error| {
            AdapterError::internal(format!("failed to read `{content}`: {error}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_found_in_the_call_and_in_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large");
        std::fs::write(&large, [0xff]).unwrap();
        let file = |content: &str, content_file: Option<String>| InputFile {
            content: content.into(),
            content_file,
            ..InputFile::default()
        };
        let files = BTreeMap::from([
            ("a.yaml".to_owned(), file("a: 1\n", None)),
            (
                "b.tgz".to_owned(),
                file("", Some(large.display().to_string())),
            ),
        ]);
        assert_eq!(file_text(&files, "a.yaml").unwrap(), "a: 1\n");
        assert_eq!(file_bytes(&files, "b.tgz").unwrap(), [0xff]);
        for (path, message) in [
            ("b.tgz", "`b.tgz` is not text in UTF-8"),
            ("c.yaml", "the content of `c.yaml` was not handed over"),
        ] {
            assert_eq!(file_text(&files, path).unwrap_err().message, message);
        }
    }
}
