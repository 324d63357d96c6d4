//! Fixed vectors. They freeze what is on the wire and on people's disks: a change here is a new
//! protocol version, never a refactoring.

use crypto::{Context, EntryId, HashContext, Identity, MessageId, NetworkId, body_root};

const SEED: [u8; 32] = [0x42; 32];

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn network() -> NetworkId {
    NetworkId::from_name("vouchsafe-test")
}

#[test]
fn peer_id() {
    let id = Identity::from_seed(&SEED).id();
    assert_eq!(
        hex(id.as_bytes()),
        "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12"
    );
    assert_eq!(
        id.to_string(),
        "efjprum3peosirjsilqv6lvlns3476t3njpngaexsyhangeb3mja"
    );
    assert_eq!(id.short(), "efjprum3");
}

#[test]
fn network_id() {
    let network = network();
    assert_eq!(
        network.to_string(),
        "bwdubtylchnzyze3hwertnpqwexutwrsvgpzkblvy2mmon2p4ska"
    );
    assert_eq!(network.short(), "bwdubtylchnzyze3");
    assert_eq!(
        NetworkId::from_genesis(&[0, 1, 2]).to_string(),
        "4g7e26ukwvlavjazt3vdhgcjxkhcspkvzificadhe3iyium6mr7q"
    );
    // The hash of nothing, from the BLAKE3 reference test vectors.
    assert_eq!(
        hex(NetworkId::from_name("").as_bytes()),
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    );
}

#[test]
fn message_and_entry_ids() {
    let message = MessageId::of(&network(), b"header");
    assert_eq!(
        message.to_string(),
        "djwrrqmv5dvtjfun2a7mmhectyicty4qmdlm3qdgvjz456uscuga"
    );
    assert_eq!(
        EntryId::of(&message, 0).to_string(),
        "kzbastzxfcc7shrwt3raq5rampte43t6ku2q7bqs672iborurcya"
    );
    assert_eq!(
        EntryId::of(&message, 258).to_string(),
        "u2z6utzizoddaia3egsnp4bkn4gkbtv76y2izthzs4wv76om4gzq"
    );
}

/// The same ids, put together by hand: tag, then fixed-width parts.
#[test]
fn layout_of_what_is_hashed() {
    let tag = b"vouchsafe/v1/hash/message-id\0\0\0\0";
    assert_eq!(&HashContext::MessageId.tag(), tag);
    let bytes = [tag, &network().to_bytes()[..], b"header"].concat();
    let message = MessageId::of(&network(), b"header");
    assert_eq!(message.as_bytes(), blake3::hash(&bytes).as_bytes());

    let tag = b"vouchsafe/v1/hash/entry-id\0\0\0\0\0\0";
    assert_eq!(&HashContext::EntryId.tag(), tag);
    let bytes = [tag, &message.to_bytes()[..], &[2, 1, 0, 0]].concat();
    assert_eq!(
        EntryId::of(&message, 258).as_bytes(),
        blake3::hash(&bytes).as_bytes()
    );
}

#[test]
fn body_roots() {
    assert_eq!(
        hex(&body_root(b"")),
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    );
    assert_eq!(
        hex(&body_root(b"body")),
        "0be9c598ae63835518e7fb422dc3027f452d75f3dbdb94c90d843298b1180ad9"
    );
}

#[test]
fn contexts_and_signatures() {
    let identity = Identity::from_seed(&SEED);
    let expected = [
        (
            Context::PeerRecord,
            b"vouchsafe/v1/sign/peer-record\0\0\0",
            "ddf6adebe6806501cd50bffcc0c9c6ad1cb4ae1c881b86707e4d52836f9f0962f0313d6ae491b61982532ba94d2e924f7256bd2fd4afc547c52055026f9da50f",
        ),
        (
            Context::Message,
            b"vouchsafe/v1/sign/message\0\0\0\0\0\0\0",
            "05cf2609dc178c6b4935afe2142513c3bb8cf680d5fb7874f547b003c23892d4c00537a58a6aaa123c29fbf03bf98a8bafcaebe935f55436ba95f1a53852ac03",
        ),
    ];
    assert_eq!(expected.map(|(context, ..)| context), Context::ALL);
    for (context, tag, signature) in expected {
        assert_eq!(&context.tag(), tag);
        let made = identity.sign(context, &network(), b"body").unwrap();
        assert_eq!(hex(&made), signature);
        let bytes = [tag, &network().to_bytes()[..], b"body"].concat();
        assert_eq!(crypto::verify_raw(&identity.id(), &bytes, &made), Ok(()));
    }
}

#[test]
fn derived_key() {
    let key = Identity::from_seed(&SEED).derive_key("test").unwrap();
    assert_eq!(
        hex(&key),
        "8730e729e89d42edaf1ae85898cadc68d2bea41e056a868e79f71994f03c0649"
    );
}
