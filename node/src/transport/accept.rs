//! Connections that others open.

use quinn::{Endpoint, Incoming};
use tokio::time::{Instant, timeout};

use super::limiter::{Admission, Slot};
use super::link::Place;
use super::tuning::HANDSHAKE_TIMEOUT;
use super::{Arrived, Transport, brief, peer_of};
use crate::snapshot::Counters;
use crate::transport::inbox::Event;

impl Transport {
    /// Accepts connections on one endpoint until the node stops.
    pub(super) async fn accept(self, endpoint: Endpoint) {
        loop {
            let incoming = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                incoming = endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else {
                return;
            };
            self.judge(incoming);
        }
    }

    fn judge(&self, incoming: Incoming) {
        let counters = &self.shared.counters;
        let validated = incoming.remote_address_validated();
        let now = Instant::now().into_std();
        let turned_away = match self
            .limiter
            .admit(incoming.remote_address(), validated, now)
        {
            Admission::Accept(slot) => return self.let_in(incoming, slot),
            Admission::Retry => {
                Counters::hit(&counters.inbound_retried);
                if let Err(error) = incoming.retry() {
                    error.into_incoming().ignore();
                }
                return;
            }
            Admission::OverShare => &counters.inbound_over_share,
            Admission::OverRate => &counters.inbound_over_rate,
            Admission::Full => &counters.inbound_full,
        };
        Counters::hit(turned_away);
        // An answer to an address that may be forged would hit a third party.
        if validated {
            incoming.refuse();
        } else {
            incoming.ignore();
        }
    }

    fn let_in(&self, incoming: Incoming, mut slot: Slot) {
        let counters = self.shared.counters.clone();
        Counters::hit(&counters.inbound_tried);
        let from = incoming.remote_address();
        let Ok(connecting) = incoming.accept() else {
            Counters::hit(&counters.inbound_failed);
            return;
        };
        let (inbox, stop) = (self.shared.inbox.clone(), self.stop.clone());
        self.shared.tasks.spawn(async move {
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                result = timeout(HANDSHAKE_TIMEOUT, connecting) => result,
            };
            slot.established();
            let connection = match result {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => {
                    tracing::debug!(%from, error = brief(&error), "an inbound handshake failed");
                    Counters::hit(&counters.inbound_failed);
                    return;
                }
                Err(_) => {
                    Counters::hit(&counters.handshake_timeouts);
                    return;
                }
            };
            let Some(peer) = peer_of(&connection) else {
                Counters::hit(&counters.inbound_failed);
                return;
            };
            Counters::hit(&counters.inbound_connected);
            let mut addr = connection.remote_address();
            addr.set_ip(addr.ip().to_canonical());
            inbox.event(Event::Arrived(Box::new(Arrived {
                connection,
                peer,
                addr,
                dialed: None,
                place: Place::Inbound { _slot: slot },
            })));
        });
    }
}
