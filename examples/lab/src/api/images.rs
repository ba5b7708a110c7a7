//! The image factory: small images that look like Talos' to the lab, and schematics by their real ids.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::faults::Fault;
use crate::image::Image;
use crate::world::Inner;

/// `GET /image/<schematic>/<version>/<platform>-<architecture>.raw.xz`.
pub(super) async fn image(
    State(world): State<Arc<Inner>>,
    Path((schematic, version, file)): Path<(String, String, String)>,
) -> Response {
    if world.lock().faults.take(Fault::ImageMissing) {
        return (StatusCode::NOT_FOUND, "image not found").into_response();
    }
    let Some(image) = Image::from_path(&schematic, &version, &file) else {
        return (StatusCode::NOT_FOUND, "there is no such image").into_response();
    };
    let made = tokio::task::spawn_blocking(move || image.compressed()).await;
    match made {
        Ok(Ok(bytes)) => ([(header::CONTENT_TYPE, "application/x-xz")], bytes).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `POST /schematics`: the id is the digest of the text.
pub(super) async fn schematic(body: String) -> Response {
    let id: String = Sha256::digest(&body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    (StatusCode::CREATED, Json(json!({"id": id}))).into_response()
}
