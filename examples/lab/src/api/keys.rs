//! SSH keys of the cloud API.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use russh::keys::PublicKey;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::page::{Query, page};
use super::{error, invalid, not_found};
use crate::cloud::SshKey;
use crate::faults::Fault;
use crate::world::Inner;

/// What is posted.
#[derive(Deserialize)]
pub(super) struct NewKey {
    name: String,
    public_key: String,
    #[serde(default)]
    labels: Value,
}

/// `GET /ssh_keys`.
pub(super) async fn list(State(world): State<Arc<Inner>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    let state = world.lock();
    let found = state
        .keys
        .iter()
        .filter(|key| query.get("name").is_none_or(|name| key.name == name))
        .filter(|key| {
            query
                .get("fingerprint")
                .is_none_or(|fingerprint| key.fingerprint == fingerprint)
        })
        .filter(|key| query.selects(&key.labels))
        .map(|key| json!(key))
        .collect();
    page(&query, "ssh_keys", found)
        .map_or_else(|response| *response, |value| Json(value).into_response())
}

/// `GET /ssh_keys/{id}`.
pub(super) async fn one(State(world): State<Arc<Inner>>, Path(id): Path<String>) -> Response {
    let state = world.lock();
    match state.keys.iter().find(|key| key.id.to_string() == id) {
        Some(key) => Json(json!({"ssh_key": key})).into_response(),
        None => not_found("ssh_key", &id),
    }
}

/// `POST /ssh_keys`.
pub(super) async fn create(State(world): State<Arc<Inner>>, body: String) -> Response {
    let new: NewKey = match serde_json::from_str(&body) {
        Ok(new) => new,
        Err(problem) if problem.is_data() => return invalid("name", "is too short"),
        Err(problem) => return error(StatusCode::BAD_REQUEST, "json_error", &problem.to_string()),
    };
    if PublicKey::from_openssh(&new.public_key).is_err() {
        return invalid("public_key", "is not a public key in OpenSSH's form");
    }
    let mut state = world.lock();
    let fingerprint = fingerprint(&new.public_key);
    if state.keys.iter().any(|key| key.fingerprint == fingerprint) {
        return error(
            StatusCode::CONFLICT,
            "uniqueness_error",
            "SSH key with the same fingerprint already exists",
        );
    }
    if state.keys.iter().any(|key| key.name == new.name) {
        return error(
            StatusCode::CONFLICT,
            "uniqueness_error",
            "SSH key with the same name already exists",
        );
    }
    let labels = if new.labels.is_null() {
        json!({})
    } else {
        new.labels
    };
    let created = jiff::Timestamp::now().to_string();
    let key = SshKey {
        id: state.fresh_id(),
        name: new.name,
        fingerprint,
        public_key: new.public_key,
        labels,
        created,
    };
    state.keys.push(key.clone());
    (StatusCode::CREATED, Json(json!({"ssh_key": key}))).into_response()
}

/// `DELETE /ssh_keys/{id}`.
pub(super) async fn delete(State(world): State<Arc<Inner>>, Path(id): Path<String>) -> Response {
    let mut state = world.lock();
    if state.faults.take(Fault::KeysStay) {
        let text = "the backend is busy";
        return error(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text);
    }
    let before = state.keys.len();
    state.keys.retain(|key| key.id.to_string() != id);
    if state.keys.len() == before {
        not_found("ssh_key", &id)
    } else {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Sixteen bytes that depend on the key, written like the API's fingerprints.
fn fingerprint(public_key: &str) -> String {
    let material: Vec<&str> = public_key.split_whitespace().take(2).collect();
    let digest = Sha256::digest(material.join(" "));
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}
