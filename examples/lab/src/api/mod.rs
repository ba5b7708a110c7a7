//! The world's HTTP server on loopback: the cloud API under `/v1`, images under `/image`, the lab's own control under `/lab`.

mod actions;
mod control;
mod guard;
mod images;
mod keys;
mod page;
mod servers;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde_json::json;

use crate::world::Inner;

/// A machine configuration with embedded manifests may be this large.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// Everything that is served.
pub(crate) fn router(world: &Arc<Inner>) -> Router {
    let cloud = Router::new()
        .route("/servers", get(servers::list))
        .route("/servers/{id}", get(servers::one))
        .route("/servers/{id}/actions", get(actions::of_server))
        .route(
            "/servers/{id}/actions/{action}",
            post(servers::act).get(actions::one_of_server),
        )
        .route("/actions", get(actions::list))
        .route("/actions/{id}", get(actions::one))
        .route("/ssh_keys", get(keys::list).post(keys::create))
        .route("/ssh_keys/{id}", get(keys::one).delete(keys::delete))
        .fallback(async || {
            error(
                StatusCode::NOT_FOUND,
                "not_found",
                "the lab does not simulate this resource",
            )
        })
        .layer(middleware::from_fn_with_state(world.clone(), guard::check));
    Router::new()
        .nest("/v1", cloud)
        .route("/image/{schematic}/{version}/{file}", get(images::image))
        .route("/schematics", post(images::schematic))
        .route("/lab/state", get(control::state))
        .route(
            "/lab/faults",
            get(control::faults).delete(control::clear_faults),
        )
        .route("/lab/faults/{fault}", post(control::set_fault))
        .route("/lab/rescue/{node}", post(control::rescue))
        .route("/lab/talosctl", post(control::talosctl))
        .route("/lab/kubectl", post(control::kubectl))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(world.clone())
}

/// An error as the cloud API writes it.
fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (
        status,
        Json(json!({"error": {"code": code, "message": message, "details": null}})),
    )
        .into_response()
}

fn not_found(what: &str, id: &str) -> Response {
    error(
        StatusCode::NOT_FOUND,
        "not_found",
        &format!("{what} with ID '{id}' not found"),
    )
}

/// An error about fields of the request.
fn invalid(field: &str, message: &str) -> Response {
    let details = json!({"fields": [{"name": field, "messages": [message]}]});
    let body = json!({"error": {"code": "invalid_input", "message": format!("invalid input in field '{field}'"), "details": details}});
    (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
}
