//! What the admin API offers: the table of routes, and the short answers.

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use crypto::{ParsePeerIdError, PeerId};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::view::{PeerView, StatusView};
use super::{events, metrics, publish, subscribe};
use crate::evidence::Exported;
use crate::{EvidenceError, Handle, PublishError, Stopped, SubscribeError};

/// What the routes work with.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) handle: Handle,
    /// Ends the streams.
    pub(super) stop: CancellationToken,
}

impl FromRef<Api> for Handle {
    fn from_ref(api: &Api) -> Self {
        api.handle.clone()
    }
}

impl FromRef<Api> for CancellationToken {
    fn from_ref(api: &Api) -> Self {
        api.stop.clone()
    }
}

pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/peers", get(peers))
        .route(
            "/v1/messages/{*topic}",
            post(publish::publish).get(subscribe::subscribe),
        )
        .route("/v1/events", get(events::events))
        .route("/v1/evidence", get(evidence))
        .route("/v1/bans/{id}", put(ban).delete(unban))
        .route("/metrics", get(metrics::metrics))
        .fallback(|| async {
            Problem::new(
                StatusCode::NOT_FOUND,
                "no such path; docs/ADMIN_API.md lists them",
            )
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "no such method on this path; docs/ADMIN_API.md lists them",
            )
        })
        .with_state(api)
}

/// A refusal: its status, and one sentence as `{"error": ".."}`.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(serde_json::json!({ "error": self.text }))).into_response()
    }
}

impl From<Stopped> for Problem {
    fn from(stopped: Stopped) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())
    }
}

impl From<&PublishError> for Problem {
    fn from(error: &PublishError) -> Self {
        use overlay::messages::PublishError as Core;
        let status = match error {
            PublishError::Topic(_) => StatusCode::BAD_REQUEST,
            PublishError::Refused(refused) => match refused {
                Core::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                Core::Count(_) | Core::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
                Core::NotAdmitted | Core::Cloned => StatusCode::FORBIDDEN,
                Core::Signer(_) => StatusCode::INTERNAL_SERVER_ERROR,
                Core::Busy | Core::Leaving => StatusCode::SERVICE_UNAVAILABLE,
            },
            PublishError::Store(_) => StatusCode::INSUFFICIENT_STORAGE,
            PublishError::Stopped(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<EvidenceError> for Problem {
    fn from(error: EvidenceError) -> Self {
        let status = match &error {
            EvidenceError::Stopped(_) => StatusCode::SERVICE_UNAVAILABLE,
            EvidenceError::Store(_) | EvidenceError::Damaged(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<SubscribeError> for Problem {
    fn from(error: SubscribeError) -> Self {
        let status = match &error {
            SubscribeError::Topic(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

async fn status(State(handle): State<Handle>) -> Result<Json<StatusView>, Problem> {
    Ok(Json(StatusView::of(&handle.status().await?)))
}

async fn peers(State(handle): State<Handle>) -> Result<Json<Vec<PeerView>>, Problem> {
    Ok(Json(
        handle.peers().await?.iter().map(PeerView::of).collect(),
    ))
}

async fn evidence(State(handle): State<Handle>) -> Result<Json<Vec<Exported>>, Problem> {
    let network = handle.network();
    let kept = handle.evidence().await?;
    Ok(Json(
        kept.iter()
            .map(|kept| Exported::of(kept, &network))
            .collect(),
    ))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BanQuery {
    seconds: Option<u64>,
}

async fn ban(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    query: Result<Query<BanQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<StatusCode, Problem> {
    let Query(query) = query.map_err(|_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "the only parameter is seconds=N; without it the ban lasts until it is lifted",
        )
    })?;
    handle
        .ban(peer_id(&id)?, query.seconds.map(Duration::from_secs))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unban(
    State(handle): State<Handle>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    handle.unban(peer_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn peer_id(text: &str) -> Result<PeerId, Problem> {
    text.parse()
        .map_err(|error: ParsePeerIdError| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))
}

/// A body with its type.
pub(super) fn with_type(kind: &'static str, body: String) -> Response {
    (
        [(header::CONTENT_TYPE, HeaderValue::from_static(kind))],
        body,
    )
        .into_response()
}
