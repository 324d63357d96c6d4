//! The node's news, as log lines.

use overlay::action::SeedFailure;
use overlay::input::DialError;
use vouchsafe::{Code, Down, EventStream, NodeEvent};

/// Logs until the node has stopped.
pub(super) async fn log(mut events: EventStream) {
    while let Some(event) = events.next().await {
        line(event);
    }
}

fn line(event: NodeEvent) {
    match event {
        NodeEvent::NeighborUp {
            peer,
            addr,
            outbound,
        } => tracing::info!(%peer, %addr, outbound, "neighbor up"),
        NodeEvent::NeighborDown { peer, why } => {
            let by = match why {
                Down::ByPeer(_) => "the peer",
                Down::ByUs(_) => "this node",
                Down::TimedOut | Down::Reset | Down::Transport => "the network",
            };
            let code = why.code().map(Code::to_u16);
            tracing::info!(%peer, by, code, reason = why.text(), "neighbor gone");
        }
        NodeEvent::Suspected { peer, silent } => {
            tracing::debug!(%peer, silent_s = silent.as_secs_f64(), "a neighbor is silent and is probed");
        }
        NodeEvent::Failed {
            peer,
            silent,
            alive_elsewhere,
        } => {
            tracing::info!(%peer, silent_s = silent.as_secs_f64(), alive_elsewhere, "a neighbor answers no probe and is given up");
        }
        NodeEvent::Recovered { peer, silent } => {
            tracing::debug!(%peer, silent_s = silent.as_secs_f64(), "a silent neighbor is heard again");
        }
        NodeEvent::Isolated => tracing::warn!(
            "no neighbor is left: the node goes back to its seeds and to everybody it has known"
        ),
        NodeEvent::Rejoined { after } => {
            tracing::info!(after_s = after.as_secs_f64(), "there is a neighbor again");
        }
        NodeEvent::SeedFailed {
            peer,
            target,
            reason,
            retry_in,
        } => {
            tracing::warn!(%peer, address = target, retry_in_s = retry_in.as_secs_f64(), "seed failed, tried again: {}", seed_failure(&reason));
        }
        NodeEvent::ClockSkew { offset_ms } => {
            tracing::warn!(
                offset_ms,
                "this machine's clock is off against its neighbors' median: set it, for example with an NTP client"
            );
        }
        NodeEvent::CloneDetected => {
            tracing::error!(
                "another node signs with this node's key: publishing has stopped; give each node its own data directory (`vouchsafe init`)"
            );
        }
        NodeEvent::Equivocation { evidence } => {
            tracing::warn!(author = %evidence.author(), seq = evidence.seq(), "an author signed two messages with one sequence number: see `vouchsafe evidence list`");
        }
        NodeEvent::StoreFailed { problem } => tracing::error!("{problem}"),
        NodeEvent::Lagged { missed } => tracing::debug!(missed, "events were skipped in this log"),
    }
}

fn seed_failure(reason: &SeedFailure) -> String {
    let text = match reason {
        SeedFailure::Dial(DialError::NoAddress) => {
            "the name does not resolve, or its address family has no socket here (see `listen`)"
        }
        SeedFailure::Dial(DialError::Unreachable) => "no answer from there",
        SeedFailure::Dial(DialError::WrongIdentity) => {
            "a node with another identity answers there; check the id in ID@HOST:PORT"
        }
        SeedFailure::Dial(DialError::WrongNetwork) => {
            "the node there belongs to another network or speaks another version; check `network`"
        }
        SeedFailure::Dial(DialError::Handshake) => "the handshake failed",
        SeedFailure::Dial(DialError::Busy) => "too many dials at a time",
        SeedFailure::Refused(code) => {
            return format!("it refused: {}", Code::from_u16(*code).text());
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_words() {
        let dial = [
            DialError::NoAddress,
            DialError::Unreachable,
            DialError::WrongIdentity,
            DialError::WrongNetwork,
            DialError::Handshake,
            DialError::Busy,
        ];
        let mut texts: Vec<String> = dial
            .map(|error| seed_failure(&SeedFailure::Dial(error)))
            .to_vec();
        texts.push(seed_failure(&SeedFailure::Refused(Code::Full.to_u16())));
        texts.push(seed_failure(&SeedFailure::Refused(9999)));
        let count = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), count);
    }
}
