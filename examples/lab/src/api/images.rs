//! The image factory: small images that look like Talos' to the lab, and schematics by their real ids.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::faults::Fault;
use crate::image::Image;
use crate::world::Inner;

/// `GET /image/<schematic>/<version>/<platform>-<architecture>.raw.xz`, whole or its beginning; with `.sha256` behind it, its digest.
pub(super) async fn image(
    State(world): State<Arc<Inner>>,
    Path((schematic, version, file)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let (known, missing, corrupt, unpublished, outage, capitals) = {
        let mut state = world.lock();
        let asked = file.ends_with(".sha256");
        (
            state.schematics.contains(&schematic),
            state.faults.take(Fault::ImageMissing),
            state.faults.has(Fault::ImageCorrupt),
            state.faults.has(Fault::NoChecksum),
            asked && state.faults.take(Fault::ChecksumOutage),
            state.faults.has(Fault::ChecksumBsd),
        )
    };
    let (name, wants_digest) = match file.strip_suffix(".sha256") {
        Some(name) => (name.to_owned(), true),
        None => (file, false),
    };
    if outage {
        let text = "<html><body><h1>503 Service Unavailable</h1></body></html>";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    if wants_digest && unpublished {
        let text = "enterprise not enabled: checksum endpoint is not available";
        return (StatusCode::PAYMENT_REQUIRED, text).into_response();
    }
    if !known {
        let text = format!("schematic ID \"{schematic}\" not found");
        return (StatusCode::NOT_FOUND, text).into_response();
    }
    if missing {
        return (StatusCode::NOT_FOUND, "image not found").into_response();
    }
    let Some(image) = Image::from_path(&schematic, &version, &name) else {
        return (StatusCode::NOT_FOUND, "there is no such image").into_response();
    };
    let Ok(Ok(bytes)) = tokio::task::spawn_blocking(move || image.compressed()).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if wants_digest {
        // A corrupt image is a whole one of something else than what was published.
        let published = if corrupt {
            digest("another")
        } else {
            digest(&bytes)
        };
        return match capitals {
            true => format!("SHA256 ({name}) = {}\n", published.to_uppercase()),
            false => format!("{published}  {name}\n"),
        }
        .into_response();
    }
    let kind = [(header::CONTENT_TYPE, "application/x-xz")];
    match end(&headers).filter(|end| *end < bytes.len()) {
        Some(end) => (StatusCode::PARTIAL_CONTENT, kind, bytes[..=end].to_vec()).into_response(),
        None => (kind, bytes).into_response(),
    }
}

/// The last byte that is asked for, in `Range: bytes=0-N`.
fn end(headers: &HeaderMap) -> Option<usize> {
    let range = headers.get(header::RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes=0-")?.parse().ok()
}

fn digest(data: impl AsRef<[u8]>) -> String {
    Sha256::digest(data)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// `POST /schematics`: the id is the digest of the text. From then on there are images of it.
pub(super) async fn schematic(State(world): State<Arc<Inner>>, body: String) -> Response {
    let id = digest(body);
    world.lock().schematics.insert(id.clone());
    (StatusCode::CREATED, Json(json!({"id": id}))).into_response()
}
