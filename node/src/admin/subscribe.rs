//! `GET /v1/messages/{topic}`: server-sent events, one for each entry, resumable by cursor.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::routes::Problem;
use super::view::{EntryView, LaggedView};
use crate::{From, Handle, Item, Order};

/// Silence after which a comment is sent, so that either side notices when the other is gone.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    from: Option<String>,
    order: Option<String>,
}

pub(super) async fn subscribe(
    State(handle): State<Handle>,
    State(stop): State<CancellationToken>,
    Path(topic): Path<String>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bad = || {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "the parameters are from=now, from=start or from=CURSOR (a number), and order=log or order=sequence",
        )
    };
    let Query(Parameters { from, order }) = parameters.map_err(|_| bad())?;
    // A client that reconnects by itself repeats its first URL and says how far it got in this header.
    let last = headers
        .get("last-event-id")
        .map(|id| id.to_str().map_err(|_| bad()))
        .transpose()?;
    let from = match last.or(from.as_deref()) {
        None | Some("now") => From::Now,
        Some("start") => From::Start,
        Some(cursor) => From::After(cursor.parse().map_err(|_| bad())?),
    };
    let order = match order.as_deref() {
        None | Some("log") => Order::Log,
        Some("sequence") => Order::Sequence,
        Some(_) => return Err(bad()),
    };
    let subscription = handle.subscribe_in(&topic, from, order).await?;
    let events = stream::unfold(subscription, |mut subscription| async move {
        let event = match subscription.next().await? {
            Item::Entry(entry) => Event::default()
                .id(entry.cursor.to_string())
                .data(json(&EntryView::of(&entry))),
            Item::Lagged { missed, resume } => Event::default()
                .event("lagged")
                .data(json(&LaggedView { missed, resume })),
        };
        Some((Ok::<_, Infallible>(event), subscription))
    })
    .take_until(stop.cancelled_owned());
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

fn json(view: &impl serde::Serialize) -> String {
    serde_json::to_string(view).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}
