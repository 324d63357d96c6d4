//! `POST /v1/messages/{topic}`: one payload as it is, or several as JSON.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64;
use serde::Deserialize;

use super::routes::Problem;
use super::view::PublishedView;
use super::{BODY_TIMEOUT, MAX_REQUEST_BODY};
use crate::{Handle, Topic};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    payloads_base64: Vec<String>,
}

pub(super) async fn publish(
    State(handle): State<Handle>,
    Path(topic): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let topic: Topic = topic.parse().map_err(|bad: overlay::messages::BadTopic| {
        Problem::new(StatusCode::BAD_REQUEST, bad.to_string())
    })?;
    let body = read(body).await?;
    if !is_json(&headers) {
        let published = handle
            .publish(&topic, body)
            .await
            .map_err(|error| Problem::from(&error))?;
        return Ok(Json(PublishedView::of(&published)).into_response());
    }
    let results = handle.publish_many(&topic, decode(&body)?).await;
    // The whole answer has the status of the first refusal; what was published is in it nevertheless.
    let status = results
        .iter()
        .find_map(|result| result.as_ref().err())
        .map_or(StatusCode::OK, |error| Problem::from(error).status);
    let results: Vec<serde_json::Value> = results
        .iter()
        .map(|result| match result {
            Ok(published) => serde_json::json!(PublishedView::of(published)),
            Err(error) => serde_json::json!({ "error": error.to_string() }),
        })
        .collect();
    Ok((status, Json(serde_json::json!({ "results": results }))).into_response())
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, MAX_REQUEST_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is incomplete or longer than {MAX_REQUEST_BODY} bytes"),
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

fn decode(body: &[u8]) -> Result<Vec<Bytes>, Problem> {
    let bad = |text: String| Problem::new(StatusCode::BAD_REQUEST, text);
    let several: Several = serde_json::from_slice(body)
        .map_err(|error| bad(format!("expected {{\"payloads_base64\": [..]}}: {error}")))?;
    if several.payloads_base64.is_empty() {
        return Err(bad("payloads_base64 is empty".to_owned()));
    }
    several
        .payloads_base64
        .iter()
        .enumerate()
        .map(|(index, text)| match BASE64.decode(text.as_bytes()) {
            Ok(payload) => Ok(payload.into()),
            Err(error) => Err(bad(format!("payloads_base64[{index}]: {error}"))),
        })
        .collect()
}
