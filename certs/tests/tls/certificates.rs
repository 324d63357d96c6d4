//! The certificate of a key, byte by byte.

use crate::common::{certificate_of, ecdsa, identity};
use certs::{BadCertificate, MAX_CERTIFICATE_LEN, certificate, peer_id_of};
use crypto::{BadKey, Identity};
use proptest::prelude::*;
use rustls::pki_types::CertificateDer;

/// The certificate of the key with seed 42 42 .. 42. Nodes may come to compare certificates with
/// what they remember, so this never changes.
const GOLDEN: &[u8] = include_bytes!("golden.der");

#[test]
fn a_certificate_is_a_pure_function_of_its_key() {
    let identity = Identity::from_seed(&[0x42; 32]);
    let made = certificate(&identity).unwrap();
    assert_eq!(made, certificate(&identity.clone()).unwrap());
    assert_eq!(
        made,
        certificate(&Identity::from_seed(&[0x42; 32])).unwrap()
    );
    assert_eq!(&made[..], GOLDEN);
    assert_eq!(peer_id_of(&made), Ok(identity.id()));
    assert!(made.len() < 300, "{}", made.len());
}

#[test]
fn a_key_held_elsewhere_has_the_same_certificate() {
    let inner = identity(1);
    let made = certificate(&inner).unwrap();
    let held_elsewhere = Identity::external(inner.id(), move |tbs| inner.sign_certificate(tbs));
    assert_eq!(certificate(&held_elsewhere).unwrap(), made);
}

/// Every bit of a certificate counts: none can be flipped, and nothing appended or cut off.
#[test]
fn no_change_goes_unnoticed() {
    let made = certificate(&identity(1)).unwrap();
    for at in 0..made.len() {
        for bit in 0..8 {
            let mut changed = made.to_vec();
            changed[at] ^= 1 << bit;
            let verdict = peer_id_of(&changed.into());
            assert!(verdict.is_err(), "byte {at}, bit {bit}: {verdict:?}");
        }
        let cut = CertificateDer::from(&made[..at]);
        assert_eq!(peer_id_of(&cut), Err(BadCertificate::Encoding));
    }
    let longer = [&made[..], &[0]].concat();
    assert_eq!(peer_id_of(&longer.into()), Err(BadCertificate::Encoding));
}

#[test]
fn other_kinds_of_certificates_are_named() {
    let (ecdsa, _) = ecdsa();
    assert_eq!(peer_id_of(&ecdsa[0]), Err(BadCertificate::NotEd25519));
    let rsa = CertificateDer::from(&include_bytes!("rsa.der")[..]);
    assert_eq!(peer_id_of(&rsa), Err(BadCertificate::NotEd25519));
    let found = MAX_CERTIFICATE_LEN + 1;
    let long = CertificateDer::from(vec![0x30; found]);
    assert_eq!(peer_id_of(&long), Err(BadCertificate::TooLong { found }));
}

#[test]
fn bad_keys_are_refused_whoever_signed() {
    let own = identity(1);
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    for (key, expected) in [
        ([0; 32], BadKey::SmallOrder),
        (minus_one, BadKey::NotCanonical),
        ([2; 32], crypto::PeerId::from_bytes(&[2; 32]).unwrap_err()),
    ] {
        let signer = own.clone();
        let sign = move |tbs: &[u8]| signer.sign_certificate(tbs).unwrap().to_vec();
        let made = certificate_of(key, sign, 0);
        assert_eq!(peer_id_of(&made), Err(BadCertificate::Key(expected)));
    }
    // A good key, but the certificate signed by another: nobody can name someone else.
    let signer = identity(2);
    let sign = move |tbs: &[u8]| signer.sign_certificate(tbs).unwrap().to_vec();
    let made = certificate_of(own.id().to_bytes(), sign, 0);
    assert_eq!(peer_id_of(&made), Err(BadCertificate::SelfSignature));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_get_a_verdict_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(peer_id_of(&bytes.into()).is_err());
    }

    #[test]
    fn any_mutation_gets_a_verdict_and_no_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        paste in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let made = certificate(&identity(1)).unwrap();
        let mut bytes = made.to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let at = cut.index(bytes.len());
        bytes.splice(at..at, paste);
        if bytes != made.to_vec() {
            prop_assert!(peer_id_of(&bytes.into()).is_err());
        }
    }

    #[test]
    fn every_key_has_a_certificate_that_names_it(seed: [u8; 32]) {
        let identity = Identity::from_seed(&seed);
        prop_assert_eq!(peer_id_of(&certificate(&identity).unwrap()), Ok(identity.id()));
    }
}
