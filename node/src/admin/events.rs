//! `GET /v1/events`: server-sent events, one for each piece of news about the node, from now on.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::subscribe::KEEP_ALIVE;
use super::view::DownView;
use crate::{Handle, NodeEvent};

pub(super) async fn events(
    State(handle): State<Handle>,
    State(stop): State<CancellationToken>,
) -> Response {
    let news = stream::unfold(handle.events(), |mut events| async move {
        let (name, data) = named(&events.next().await?);
        let event = Event::default().event(name).data(data.to_string());
        Some((Ok::<_, Infallible>(event), events))
    })
    .take_until(stop.cancelled_owned());
    Sse::new(news)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

/// An event's name and its facts.
fn named(event: &NodeEvent) -> (&'static str, Value) {
    match event {
        NodeEvent::NeighborUp {
            peer,
            addr,
            outbound,
        } => (
            "neighbor_up",
            json!({ "id": peer, "address": addr, "outbound": outbound }),
        ),
        NodeEvent::NeighborDown { peer, why } => (
            "neighbor_down",
            json!({ "id": peer, "why": DownView::of(*why) }),
        ),
        NodeEvent::Suspected { peer, silent } => (
            "suspected",
            json!({ "id": peer, "silent_seconds": silent.as_secs_f64() }),
        ),
        NodeEvent::Failed {
            peer,
            silent,
            alive_elsewhere,
        } => (
            "failed",
            json!({ "id": peer, "silent_seconds": silent.as_secs_f64(), "alive_elsewhere": alive_elsewhere }),
        ),
        NodeEvent::Recovered { peer, silent } => (
            "recovered",
            json!({ "id": peer, "silent_seconds": silent.as_secs_f64() }),
        ),
        NodeEvent::Isolated => ("isolated", json!({})),
        NodeEvent::Rejoined { after } => {
            ("rejoined", json!({ "after_seconds": after.as_secs_f64() }))
        }
        NodeEvent::SeedFailed {
            peer,
            target,
            reason,
            retry_in,
        } => (
            "seed_failed",
            json!({ "id": peer, "address": target, "reason": reason.to_string(), "retry_in_seconds": retry_in.as_secs_f64() }),
        ),
        NodeEvent::ClockSkew { offset_ms } => ("clock_skew", json!({ "offset_ms": offset_ms })),
        NodeEvent::CloneDetected => ("clone_detected", json!({})),
        NodeEvent::Equivocation { evidence } => (
            "equivocation",
            json!({ "author": evidence.author(), "seq": evidence.seq() }),
        ),
        NodeEvent::StoreFailed { problem } => ("store_failed", json!({ "problem": problem })),
        NodeEvent::Lagged { missed } => ("lagged", json!({ "missed": missed })),
    }
}
