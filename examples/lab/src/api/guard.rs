//! What every request to the cloud API meets first: the token, the request budget, the faults.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error;
use crate::faults::Fault;
use crate::world::Inner;

/// Lets a request through or answers it.
pub(super) async fn check(
    State(world): State<Arc<Inner>>,
    request: Request,
    next: Next,
) -> Response {
    let refused = refuse(&world, &request);
    let mut response = match refused {
        Some(response) => response,
        None => next.run(request).await,
    };
    let (limit, left, seconds) = world.lock().budget.headers();
    let limited = response.status() == StatusCode::TOO_MANY_REQUESTS;
    let (left, seconds) = if limited { (0, 1) } else { (left, seconds) };
    let reset = jiff::Timestamp::now().as_second().unsigned_abs() + seconds;
    let headers = response.headers_mut();
    for (name, value) in [
        ("ratelimit-limit", limit),
        ("ratelimit-remaining", left),
        ("ratelimit-reset", reset),
    ] {
        headers.insert(name, HeaderValue::from(value));
    }
    response
}

fn refuse(world: &Inner, request: &Request) -> Option<Response> {
    let mut state = world.lock();
    state.requests += 1;
    let now = state.now;
    if !state.budget.spend(now) || state.faults.take(Fault::RateLimit) {
        return Some(error(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            "API rate limit exceeded",
        ));
    }
    if state.faults.take(Fault::BadGateway) {
        // A gateway in front of the API answers in HTML, the API itself in JSON.
        let html = state.requests.is_multiple_of(2);
        return Some(if html {
            let kind = [(header::CONTENT_TYPE, "text/html")];
            (
                StatusCode::BAD_GATEWAY,
                kind,
                "<html><body><h1>502 Bad Gateway</h1></body></html>",
            )
                .into_response()
        } else {
            error(
                StatusCode::BAD_GATEWAY,
                "bad_gateway",
                "the backend did not answer",
            )
        });
    }
    let expected = format!("Bearer {}", world.token);
    if request
        .headers()
        .get(header::AUTHORIZATION)
        .is_none_or(|given| given.as_bytes() != expected.as_bytes())
    {
        return Some(error(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "unable to authenticate",
        ));
    }
    if request.method() != Method::GET && state.faults.take(Fault::ReadonlyToken) {
        return Some(error(
            StatusCode::FORBIDDEN,
            "token_readonly",
            "token is only allowed to perform GET requests",
        ));
    }
    None
}
