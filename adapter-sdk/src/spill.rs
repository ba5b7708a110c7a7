//! Artifacts that are too large for one line: their content goes to files in the scratch directory, with its digest.

use std::path::Path;

use ztc_protocol::message::{Artifact, RenderResult};
use ztc_protocol::{ErrorCode, sha256_hex};

use crate::AdapterError;

/// The content of an artifact that always goes to a file, in bytes.
const LARGE: usize = 1024 * 1024;

/// The content of all artifacts that may stay in the line, in bytes. Escaping can double it; the line's limit is 32 MiB.
const TOGETHER: usize = 12 * 1024 * 1024;

/// Moves content to files where a line could not hold it.
pub(crate) fn spill(result: &mut RenderResult, scratch: &Path) -> Result<(), AdapterError> {
    let mut inline = 0;
    for (number, artifact) in result.artifacts.iter_mut().enumerate() {
        if artifact.content.len() <= LARGE && inline + artifact.content.len() <= TOGETHER {
            inline += artifact.content.len();
        } else {
            to_file(artifact, &scratch.join(format!("artifact-{number}")))?;
        }
    }
    Ok(())
}

fn to_file(artifact: &mut Artifact, file: &Path) -> Result<(), AdapterError> {
    let content = std::mem::take(&mut artifact.content);
    std::fs::write(file, &content).map_err(|error| {
        AdapterError::new(
            ErrorCode::Internal,
            format!("failed to write `{}`: {error}", file.display()),
        )
    })?;
    artifact.sha256 = Some(sha256_hex(content.as_bytes()));
    artifact.content_file = Some(file.display().to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_line_cannot_hold_goes_to_files() {
        let directory = tempfile::tempdir().unwrap();
        let artifact = |size: usize| Artifact {
            content: "x".repeat(size),
            ..Artifact::default()
        };
        let mut sizes = vec![10, LARGE + 1];
        sizes.extend([LARGE; 12]);
        let mut result = RenderResult {
            artifacts: sizes.into_iter().map(artifact).collect(),
            ..RenderResult::default()
        };
        spill(&mut result, directory.path()).unwrap();
        let spilt: Vec<usize> = (0..result.artifacts.len())
            .filter(|n| result.artifacts[*n].content_file.is_some())
            .collect();
        assert_eq!(spilt, [1, 13]);
        let large = &result.artifacts[1];
        let text = std::fs::read_to_string(large.content_file.as_ref().unwrap()).unwrap();
        assert_eq!((text.len(), large.content.len()), (LARGE + 1, 0));
        assert_eq!(large.sha256, Some(sha256_hex(text.as_bytes())));
    }
}
