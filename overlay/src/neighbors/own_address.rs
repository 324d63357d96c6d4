//! Which addresses the node tells others to dial, where none is configured.
//!
//! Two things say it. Our own ends of connections: the address that this machine sends from, told by its system and by nobody else, so
//! one suffices and the first nodes of a network need not wait for a quorum that cannot form before they have addresses. And what a
//! quorum of peers sees (`clock`), where the machine's own address is not the one that others reach, as behind NAT.

use std::net::SocketAddr;

use super::Links;
use crate::config::AddressPreset;
use crate::peers::is_taken;

/// The machine's own address of each family.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnAddress {
    v4: Option<SocketAddr>,
    v6: Option<SocketAddr>,
}

impl OwnAddress {
    /// Takes in our end of a new connection; whether that changed anything. A machine with several addresses keeps to one for as
    /// long as a link runs over it.
    pub(super) fn note(&mut self, end: SocketAddr, preset: AddressPreset, links: &Links) -> bool {
        if !is_taken(end, preset) {
            return false;
        }
        let current = if end.is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        };
        let in_use = |at: SocketAddr| links.iter().any(|(_, link)| link.local == Some(at));
        if current.is_some_and(in_use) {
            return false;
        }
        current.replace(end) != Some(end)
    }

    /// At most one address of each family: the one configured, else our own where it is good for the whole internet, else what peers see,
    /// else our own.
    pub(super) fn advertised(
        self,
        configured: &[SocketAddr],
        observed: Option<SocketAddr>,
    ) -> Vec<SocketAddr> {
        let families = [(true, self.v4), (false, self.v6)];
        let best = families.map(|(v4, own)| {
            let of_family = |addr: &SocketAddr| addr.is_ipv4() == v4;
            let public = own.filter(|own| is_taken(*own, AddressPreset::Wan));
            let configured = configured.iter().copied().find(of_family);
            configured
                .or(public)
                .or_else(|| observed.filter(of_family))
                .or(own)
        });
        best.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::LinkId;
    use crate::neighbors::Link;
    use crate::testing::{Bench, neighbor, peer};

    const PRIVATE: &str = "192.168.1.5:4100";
    const PUBLIC: &str = "5.1.0.2:4100";
    const OTHER: &str = "5.2.0.2:4100";
    const PUBLIC_V6: &str = "[2a02::5]:4100";

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn own(ends: &[&str], preset: AddressPreset) -> OwnAddress {
        let mut own = OwnAddress::default();
        for end in ends {
            own.note(addr(end), preset, &Links::default());
        }
        own
    }

    #[test]
    fn a_public_end_is_enough_and_beats_what_peers_see() {
        let own = own(&[PUBLIC, PUBLIC_V6], AddressPreset::Wan);
        let all = [addr(PUBLIC), addr(PUBLIC_V6)];
        assert_eq!(own.advertised(&[], None), all);
        assert_eq!(own.advertised(&[], Some(addr(OTHER))), all);
        assert_eq!(
            own.advertised(&[addr(OTHER)], None),
            [addr(OTHER), addr(PUBLIC_V6)],
            "what is configured comes first, for its family"
        );
    }

    #[test]
    fn behind_nat_only_what_peers_see_counts() {
        let own = own(&[PRIVATE], AddressPreset::Wan);
        assert!(own.advertised(&[], None).is_empty());
        assert_eq!(own.advertised(&[], Some(addr(PUBLIC))), [addr(PUBLIC)]);
    }

    #[test]
    fn a_private_end_serves_a_private_network_until_peers_agree_on_another() {
        let own = own(&[PRIVATE], AddressPreset::Lan);
        assert_eq!(own.advertised(&[], None), [addr(PRIVATE)]);
        let seen = "192.168.7.7:4100";
        assert_eq!(own.advertised(&[], Some(addr(seen))), [addr(seen)]);
    }

    #[test]
    fn an_address_is_kept_while_a_link_runs_over_it() {
        let bench = Bench::new(1);
        let mut links = Links::default();
        let mut own = own(&[PUBLIC], AddressPreset::Wan);
        let link = Link {
            local: Some(addr(PUBLIC)),
            ..neighbor(peer(2), bench.now.mono)
        };
        links.insert(LinkId(1), link);
        own.note(addr(OTHER), AddressPreset::Wan, &links);
        assert_eq!(own.advertised(&[], None), [addr(PUBLIC)]);
        links.remove(LinkId(1));
        own.note(addr(OTHER), AddressPreset::Wan, &links);
        assert_eq!(own.advertised(&[], None), [addr(OTHER)]);
    }
}
