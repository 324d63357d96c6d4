//! Real handshakes, good and bad. Each bad one is refused under its own name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{
    Key, Outcome, certificate_of, ecdsa, hostile_client, hostile_server, identity, network, shake,
    shake_named, shake_on_path,
};
use certs::{
    BadCertificate, Refusal, alert_meaning, certificate, client_config, peer_at_other_end, refusal,
    server_config, server_name,
};
use crypto::{BadKey, Identity, NetworkId, SignError};
use proptest::prelude::*;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, Error, HandshakeKind, ServerConfig, SignatureScheme};

/// A certificate made once by `openssl req -x509 -newkey rsa:2048`.
const RSA: &[u8] = include_bytes!("rsa.der");

/// What `openssl s_client -tls1_2` sent, with its 5 bytes of record header.
const TLS12_CLIENT_HELLO: &[u8] = include_bytes!("tls12_client_hello.bin");

fn client(n: u8) -> Arc<ClientConfig> {
    Arc::new(client_config(&identity(n), &network()).unwrap())
}

fn server(n: u8) -> Arc<ServerConfig> {
    Arc::new(server_config(&identity(n), &network()).unwrap())
}

/// The refusal behind `error`, which its mere text tells as well.
fn named(error: &Error) -> Refusal {
    let refusal = refusal(error).unwrap_or_else(|| panic!("{error:?} has no name"));
    let text = format!("the cryptographic handshake failed: error 46: {error}");
    assert_eq!(Refusal::name_in(&text), Some(refusal.name()), "{text}");
    refusal
}

/// What the peer is told, in words.
fn told(outcome: &Outcome) -> Option<&'static str> {
    alert_meaning(outcome.alert?.into())
}

/// What an honest server says to a client that shows `chain` and signs with `key`.
fn refused_as_client(chain: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Refusal {
    let outcome = shake(
        Arc::new(hostile_client(chain, key)),
        server(2),
        &identity(2).id(),
    );
    named(&outcome.server_error())
}

/// What an honest client that dials identity 2 says to a server that shows `chain` and signs with
/// `key`.
fn refused_as_server(chain: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Refusal {
    let outcome = shake(
        client(1),
        Arc::new(hostile_server(chain, key)),
        &identity(2).id(),
    );
    named(&outcome.client_error())
}

/// Both of the above, which must agree.
fn refused_as_either(chain: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Refusal {
    let refusal = refused_as_client(chain.clone(), key.clone());
    assert_eq!(refused_as_server(chain, key), refusal);
    refusal
}

#[test]
fn the_right_key_is_accepted_and_each_side_learns_the_others_id() {
    let (a, b) = (identity(1), identity(2));
    let outcome = shake(client(1), server(2), &b.id());
    let (client, server) = (outcome.client.unwrap(), outcome.server.unwrap());
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(
        peer_at_other_end(client.peer_certificates().unwrap()),
        Ok(b.id())
    );
    assert_eq!(
        peer_at_other_end(server.peer_certificates().unwrap()),
        Ok(a.id())
    );
    assert_eq!(client.alpn_protocol(), Some(&certs::alpn(&network())[..]));
    assert_eq!(server.server_name(), None, "the name is not sent");
}

#[test]
fn the_misbehaving_peers_of_these_tests_pass_when_they_behave() {
    let (a, b) = (identity(1), identity(2));
    let chain = |identity: &Identity| vec![certificate(identity).unwrap()];
    let outcome = shake(
        Arc::new(hostile_client(chain(&a), Key::of(&a))),
        Arc::new(hostile_server(chain(&b), Key::of(&b))),
        &b.id(),
    );
    assert!(outcome.client.is_ok() && outcome.server.is_ok());
    let outcome = shake(
        Arc::new(hostile_client(chain(&a), Key::of(&a))),
        server(2),
        &b.id(),
    );
    assert!(outcome.client.is_ok() && outcome.server.is_ok());
    let outcome = shake(
        client(1),
        Arc::new(hostile_server(chain(&b), Key::of(&b))),
        &b.id(),
    );
    assert!(outcome.client.is_ok() && outcome.server.is_ok());
}

#[test]
fn another_key_than_the_dialled_one_is_refused() {
    let (dialled, found) = (identity(3).id(), identity(2).id());
    let error = shake(client(1), server(2), &dialled).client_error();
    assert_eq!(named(&error), Refusal::WrongPeer { dialled, found });
    let text = error.to_string();
    assert!(
        text.contains(&format!("{found} answered where {dialled} was dialled")),
        "{text}"
    );
}

#[test]
fn a_dial_that_names_nobody_is_refused() {
    for name in [
        "example.com",
        "127.0.0.1",
        "::1",
        "vouchsafe.invalid",
        // The id of the weak key 0100..00.
        "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.vouchsafe.invalid",
        &identity(2).id().to_string(),
    ] {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let error = shake_named(client(1), server(2), name).client_error();
        assert_eq!(named(&error), Refusal::NoPeerNamed);
    }
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let config = hostile_client(Vec::new(), Key::of(&identity(1)));
    let error = shake(Arc::new(config), server(2), &identity(2).id()).server_error();
    assert_eq!(named(&error), Refusal::NoCertificate);
    // An honest TLS client with another kind of key has nothing to show that was asked for.
    let (chain, key) = ecdsa();
    let config = hostile_client(chain, key);
    let error = shake(Arc::new(config), server(2), &identity(2).id()).server_error();
    assert_eq!(named(&error), Refusal::NoCertificate);
}

#[test]
fn a_server_without_a_certificate_is_refused() {
    assert_eq!(
        refused_as_server(Vec::new(), Key::of(&identity(2))),
        Refusal::NoCertificate
    );
}

#[test]
fn ecdsa_and_rsa_certificates_are_refused() {
    let not_ed25519 = Refusal::Certificate(BadCertificate::NotEd25519);
    let (ecdsa_chain, ecdsa_key) = ecdsa();
    for chain in [ecdsa_chain.clone(), vec![CertificateDer::from(RSA)]] {
        // Claiming the one scheme that we take.
        let key = Key::of(&identity(2));
        assert_eq!(refused_as_either(chain, key), not_ed25519);
    }
    // With its own, honest signature scheme the server finds nothing in common with our client.
    let config = hostile_server(ecdsa_chain, ecdsa_key);
    let outcome = shake(client(1), Arc::new(config), &identity(2).id());
    assert!(outcome.server.is_err());
}

#[test]
fn an_ed25519_certificate_with_another_signature_scheme_is_refused() {
    for scheme in [
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::ED448,
    ] {
        let chain = vec![certificate(&identity(2)).unwrap()];
        let sign = {
            let identity = identity(2);
            move |message: &[u8]| identity.sign_tls(message).unwrap().to_vec()
        };
        let key = Arc::new(Key {
            scheme,
            sign: Arc::new(sign),
        });
        assert_eq!(refused_as_either(chain, key), Refusal::Scheme, "{scheme:?}");
    }
}

#[test]
fn a_chain_of_two_is_refused() {
    let own = certificate(&identity(2)).unwrap();
    for chain in [
        vec![own.clone(), own.clone()],
        vec![own, certificate(&identity(3)).unwrap()],
    ] {
        assert_eq!(
            refused_as_either(chain, Key::of(&identity(2))),
            Refusal::Chain { found: 2 }
        );
    }
}

#[test]
fn a_certificate_of_somebody_else_is_refused() {
    // The certificate of identity 2 is public; its key is not, and identity 3 signs instead.
    let chain = vec![certificate(&identity(2)).unwrap()];
    assert_eq!(
        refused_as_either(chain, Key::of(&identity(3))),
        Refusal::Handshake
    );
}

#[test]
fn handshake_signatures_of_any_other_shape_are_refused() {
    for length in [0, 1, 63, 64, 65, 4096] {
        let chain = vec![certificate(&identity(2)).unwrap()];
        let key = Key::ed25519(move |_| vec![0; length]);
        assert_eq!(
            refused_as_either(chain, key),
            Refusal::Handshake,
            "{length}"
        );
    }
}

#[test]
fn a_tampered_certificate_is_refused() {
    // The common name changed in place, the key left alone.
    let mut der = certificate(&identity(2)).unwrap().to_vec();
    let at = der
        .windows(9)
        .position(|window| window == b"vouchsafe")
        .unwrap();
    der[at] = b'V';
    let refusal = refused_as_either(vec![der.into()], Key::of(&identity(2)));
    assert_eq!(refusal, Refusal::Certificate(BadCertificate::SelfSignature));
}

#[test]
fn garbage_in_place_of_a_certificate_is_refused() {
    let whole = certificate(&identity(2)).unwrap();
    for der in [
        vec![0x30],
        vec![0xff; 200],
        whole[..whole.len() - 1].to_vec(),
    ] {
        let refusal = refused_as_either(vec![der.into()], Key::of(&identity(2)));
        assert_eq!(refusal, Refusal::Certificate(BadCertificate::Encoding));
    }
}

#[test]
fn oversized_certificates_are_refused() {
    let owner = identity(2);
    let padded = |padding: usize| {
        let signer = owner.clone();
        let sign = move |tbs: &[u8]| signer.sign_certificate(tbs).unwrap().to_vec();
        certificate_of(owner.id().to_bytes(), sign, padding)
    };
    // A little padding shows that it is the length that is refused.
    assert_eq!(certs::peer_id_of(&padded(16)), Ok(owner.id()));
    let large = padded(16 * 1024);
    let found = large.len();
    assert!(found > 16 * 1024);
    assert_eq!(
        refused_as_either(vec![large], Key::of(&owner)),
        Refusal::Certificate(BadCertificate::TooLong { found })
    );
    // Beyond 64 KiB the message is not even put together. Signed with a fixed signature, since
    // our own key does not sign that much.
    let huge = certificate_of(owner.id().to_bytes(), |_| vec![0; 64], 70 * 1024);
    assert_eq!(
        refused_as_either(vec![huge], Key::of(&owner)),
        Refusal::TooLarge
    );
}

#[test]
fn another_network_is_refused_before_any_certificate() {
    let there = NetworkId::from_name("there");
    let stranger = Arc::new(client_config(&identity(1), &there).unwrap());
    let error = shake(stranger, server(2), &identity(2).id()).server_error();
    assert_eq!(named(&error), Refusal::OtherNetwork);
}

#[test]
fn a_peer_that_names_no_network_is_refused() {
    let chain = vec![certificate(&identity(1)).unwrap()];
    let mut config = hostile_client(chain, Key::of(&identity(1)));
    config.alpn_protocols.clear();
    let error = shake(Arc::new(config), server(2), &identity(2).id()).server_error();
    assert_eq!(named(&error), Refusal::OtherNetwork);
}

/// A server cannot choose a protocol that was not offered either; here its choice is changed on
/// the way.
#[test]
fn a_server_that_chooses_another_network_is_refused() {
    let ours = certs::alpn(&network());
    let theirs = certs::alpn(&NetworkId::from_name("there"));
    let name = server_name(&identity(2).id());
    let outcome = shake_on_path(client(1), server(2), name, |flight| {
        if let Some(at) = flight.windows(ours.len()).position(|window| window == ours) {
            flight[at..at + ours.len()].copy_from_slice(&theirs);
        }
    });
    assert_eq!(named(&outcome.client_error()), Refusal::OtherNetwork);
}

#[test]
fn a_tls_12_client_hello_is_refused() {
    let mut quic =
        rustls::quic::ServerConnection::new(server(2), rustls::quic::Version::V1, Vec::new())
            .unwrap();
    let error = quic.read_hs(&TLS12_CLIENT_HELLO[5..]).unwrap_err();
    assert_eq!(named(&error), Refusal::OldTls);

    let mut tcp = rustls::ServerConnection::new(server(2)).unwrap();
    tcp.read_tls(&mut &TLS12_CLIENT_HELLO[..]).unwrap();
    let error = tcp.process_new_packets().unwrap_err();
    assert_eq!(named(&error), Refusal::OldTls);
}

/// R = identity, S = 0: a valid signature of the key 0100..00 for every message, in the plain
/// Ed25519 of most TLS libraries. Without a strict rule, anybody could be this peer.
#[test]
fn the_weak_identity_with_its_universal_signature_is_refused() {
    let mut weak = [0; 32];
    weak[0] = 1;
    let mut forgery = vec![0; 64];
    forgery[0] = 1;
    // The control: the TLS library by itself would take it.
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let (_, ed25519) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == SignatureScheme::ED25519)
        .unwrap();
    assert!(
        ed25519[0]
            .verify_signature(&weak, b"any message", &forgery)
            .is_ok()
    );

    let signature = forgery.clone();
    let chain = vec![certificate_of(weak, move |_| signature.clone(), 0)];
    let key = Key::ed25519(move |_| forgery.clone());
    assert_eq!(
        refused_as_either(chain, key),
        Refusal::Certificate(BadCertificate::Key(BadKey::SmallOrder))
    );
}

/// An identity that counts what it signs.
fn counting(n: u8) -> (Identity, Arc<AtomicUsize>) {
    let inner = identity(n);
    let count = Arc::new(AtomicUsize::new(0));
    let (id, counter) = (inner.id(), count.clone());
    let counting = Identity::external(id, move |bytes| {
        counter.fetch_add(1, Ordering::Relaxed);
        inner
            .sign_tls(bytes)
            .or_else(|_| inner.sign_certificate(bytes))
    });
    (counting, count)
}

/// A resumed session signs nothing and verifies nothing; here each connection does both anew.
#[test]
fn no_session_is_ever_resumed() {
    let (a, a_signed) = counting(1);
    let (b, b_signed) = counting(2);
    let ours = client_config(&a, &network()).unwrap();
    // A client that would resume if it could.
    let mut eager = client_config(&a, &network()).unwrap();
    eager.resumption = Resumption::in_memory_sessions(8);
    eager.enable_early_data = true;
    let server = Arc::new(server_config(&b, &network()).unwrap());
    for client in [Arc::new(ours), Arc::new(eager)] {
        let (a_before, b_before) = (
            a_signed.load(Ordering::Relaxed),
            b_signed.load(Ordering::Relaxed),
        );
        for nth in 1..=3 {
            let outcome = shake(client.clone(), server.clone(), &b.id());
            let (client, server) = (outcome.client.unwrap(), outcome.server.unwrap());
            assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(client.tls13_tickets_received(), 0);
            assert!(client.zero_rtt_keys().is_none());
            assert_eq!(a_signed.load(Ordering::Relaxed) - a_before, nth);
            assert_eq!(b_signed.load(Ordering::Relaxed) - b_before, nth);
        }
        // Whoever takes over the dialled address is judged as if for the first time.
        let error = shake(client, self::server(3), &b.id()).client_error();
        assert_eq!(named(&error).name(), "wrong-peer");
    }
}

#[test]
fn our_client_keeps_no_ticket_that_a_server_presses_on_it() {
    let mut config = hostile_server(
        vec![certificate(&identity(2)).unwrap()],
        Key::of(&identity(2)),
    );
    config.send_tls13_tickets = 4;
    config.max_early_data_size = u32::MAX;
    let (client, server) = (client(1), Arc::new(config));
    for _ in 0..3 {
        let outcome = shake(client.clone(), server.clone(), &identity(2).id());
        let connection = outcome.client.unwrap();
        assert_eq!(
            connection.tls13_tickets_received(),
            4,
            "the server did send them"
        );
        assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Full));
        assert!(connection.zero_rtt_keys().is_none());
    }
}

#[test]
fn a_signer_that_fails_is_an_error_and_not_a_panic() {
    let id = identity(1).id();
    let locked = Identity::external(id, |_| Err(SignError::External("locked".into())));
    let error = client_config(&locked, &network()).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot sign the node's certificate: the external signer failed: locked"
    );

    // One that fails only when the handshake comes.
    let inner = identity(1);
    let later = Identity::external(id, move |bytes| {
        inner
            .sign_certificate(bytes)
            .map_err(|_| SignError::External("gone".into()))
    });
    let client = Arc::new(client_config(&later, &network()).unwrap());
    let error = shake(client, server(2), &identity(2).id()).client_error();
    assert!(
        error
            .to_string()
            .contains("the external signer failed: gone"),
        "{error}"
    );
    assert_eq!(refusal(&error), None);
}

#[test]
fn the_configurations_suit_quic() {
    let config = client(1);
    assert!(!config.enable_sni && !config.enable_early_data);
    // QUIC protects its first packets with this suite (RFC 9001 §5).
    let suites = &config.crypto_provider().cipher_suites;
    assert!(
        suites
            .iter()
            .any(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256)
    );
    assert!(suites.iter().all(|suite| suite.tls13().is_some()));
    let config = server(2);
    assert_eq!(
        (config.max_early_data_size, config.send_tls13_tickets),
        (0, 0)
    );
    assert_eq!(
        certs::alpn(&network()),
        format!("vouchsafe/1/{}", network().short()).into_bytes()
    );
    let name = server_name(&identity(2).id());
    assert_eq!(
        name.to_str(),
        format!("{}.vouchsafe.invalid", identity(2).id())
    );
}

#[test]
fn the_refused_side_is_told_something_useful() {
    let id = identity(2).id();
    let there = NetworkId::from_name("there");
    let stranger = Arc::new(client_config(&identity(1), &there).unwrap());
    assert_eq!(
        told(&shake(stranger, server(2), &id)),
        Some("the peer is of another network or protocol version")
    );
    let naked = Arc::new(hostile_client(Vec::new(), Key::of(&identity(1))));
    assert_eq!(
        told(&shake(naked, server(2), &id)),
        Some("the peer demands a certificate")
    );
    assert_eq!(
        told(&shake(client(1), server(3), &id)),
        Some("the peer refused our certificate")
    );
    assert_eq!(alert_meaning(255), None);
}

#[test]
fn every_refusal_has_its_own_name_and_its_text_tells_it() {
    let (dialled, found) = (identity(1).id(), identity(2).id());
    let all = [
        Refusal::NoCertificate,
        Refusal::Chain { found: 2 },
        Refusal::Certificate(BadCertificate::TooLong { found: 2000 }),
        Refusal::Certificate(BadCertificate::Encoding),
        Refusal::Certificate(BadCertificate::NotEd25519),
        Refusal::Certificate(BadCertificate::Key(BadKey::MixedOrder)),
        Refusal::Certificate(BadCertificate::SelfSignature),
        Refusal::WrongPeer { dialled, found },
        Refusal::NoPeerNamed,
        Refusal::Handshake,
        Refusal::Scheme,
        Refusal::OldTls,
        Refusal::OtherNetwork,
        Refusal::TooLarge,
    ];
    for (i, refusal) in all.iter().enumerate() {
        assert_eq!(Refusal::name_in(&refusal.to_string()), Some(refusal.name()));
        assert!(all[..i].iter().all(|other| other.name() != refusal.name()));
        assert_eq!(named(&refusal.clone().into()), *refusal);
    }
}

#[test]
fn names_are_found_in_texts_of_this_side_only_where_they_are() {
    assert_eq!(Refusal::name_in("timed out"), None);
    assert_eq!(Refusal::name_in("refused (by-nobody): at all"), None);
    assert_eq!(Refusal::name_in("refused (wrong-peer"), None);
    let text = format!("{:?}", Error::from(Refusal::Handshake));
    assert_eq!(Refusal::name_in(&text), Some("handshake-signature"));
    let garbled = Error::InvalidMessage(rustls::InvalidMessage::MissingData("x"));
    assert_eq!(
        (refusal(&garbled), Refusal::name_in(&garbled.to_string())),
        (None, None)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens to the bytes on the way, each side ends with a verdict and not a panic,
    /// and never with a finished handshake.
    #[test]
    fn changed_bytes_never_finish_a_handshake(at: prop::sample::Index, value: u8, cut: bool) {
        let name = server_name(&identity(2).id());
        let mut changed = false;
        let outcome = shake_on_path(client(1), server(2), name, |flight| {
            if flight.is_empty() || changed {
                return;
            }
            let at = at.index(flight.len());
            changed = flight[at] != value || cut;
            flight[at] = value;
            if cut {
                flight.truncate(at);
            }
        });
        let finished = [
            outcome.client.is_ok_and(|client| !client.is_handshaking()),
            outcome.server.is_ok_and(|server| !server.is_handshaking()),
        ];
        prop_assert!(!changed || finished == [false, false]);
    }
}
