//! A whole authenticator against the verifier, bent in every way that matters, and bytes at random.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{testkit::Authenticator, *};

const CHALLENGE: Challenge = [7; CHALLENGE_BYTES];

fn party() -> Party {
    Party { rp_id: "portcullis.example".to_owned(), origin: "https://portcullis.example".to_owned() }
}

fn options() -> Value {
    let challenge = URL_SAFE_NO_PAD.encode(CHALLENGE);
    json!({"challenge": challenge, "rp": {"id": "portcullis.example"}, "rpId": "portcullis.example", "user": {"id": "AAAA"}})
}

fn decoded(answer: &Value, member: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(answer["response"][member].as_str().unwrap()).unwrap()
}

fn registered(device: &mut Authenticator) -> Result<Registered, Unsound> {
    let answer = device.create(&options());
    let (client, object) = (decoded(&answer, "clientDataJSON"), decoded(&answer, "attestationObject"));
    register(&client, &object, &device.credential_id, Expected { challenge: &CHALLENGE, party: &party() })
}

fn used(device: &mut Authenticator, key: &Key) -> Result<u32, Unsound> {
    let answer = device.get(&options());
    let (client_data, data) = (decoded(&answer, "clientDataJSON"), decoded(&answer, "authenticatorData"));
    let signature = decoded(&answer, "signature");
    let answer = Assertion { client_data: &client_data, authenticator_data: &data, signature: &signature };
    assert(answer, key, Expected { challenge: &CHALLENGE, party: &party() })
}

fn device(es256: bool) -> Authenticator {
    Authenticator::new(es256, "https://portcullis.example")
}

#[test]
fn a_passkey_is_made_and_used_whichever_way_it_signs() {
    for (es256, format) in [(true, "none"), (false, "none"), (true, "packed"), (false, "packed")] {
        let mut device = device(es256);
        device.format = format;
        let made = registered(&mut device).unwrap();
        assert_eq!((&made.credential_id, made.sign_count), (&device.credential_id, 0));
        let key = Key::stored(made.key.algorithm().cose(), made.key.bytes()).unwrap();
        assert_eq!(key, made.key);
        assert_eq!(used(&mut device, &key), Ok(1));
        assert_eq!(used(&mut device, &key), Ok(2));
        // Nor is it anybody else's.
        let mut other = self::device(es256);
        other.credential_id.clone_from(&device.credential_id);
        assert_eq!(used(&mut other, &key), Err(Unsound("the signature is not the passkey's")));
    }
}

#[test]
fn whatever_was_not_asked_for_is_not_taken() {
    type Bend = (&'static str, fn(&mut Authenticator));
    let bends: [Bend; 8] = [
        ("the user was not there", |device| device.flags = 0b100),
        ("the user was not verified", |device| device.flags = 0b001),
        ("extensions that are not there", |device| device.flags |= 0x80),
        ("another site", |device| device.origin = "https://portcullis.example.evil.test".to_owned()),
        ("another port", |device| device.origin = "https://portcullis.example:8443".to_owned()),
        ("without TLS", |device| device.origin = "http://portcullis.example".to_owned()),
        ("in a frame", |device| device.client = json!({"crossOrigin": true})),
        ("under another page", |device| device.client = json!({"topOrigin": "https://portcullis.example"})),
    ];
    for es256 in [true, false] {
        let mut good = device(es256);
        let key = registered(&mut good).unwrap().key;
        for (what, bend) in bends {
            let mut bent = device(es256);
            bend(&mut bent);
            assert!(registered(&mut bent).is_err(), "{what}");
            bend(&mut good);
            assert!(used(&mut good, &key).is_err(), "{what}");
            (good.flags, good.origin, good.client) = (0b101, "https://portcullis.example".to_owned(), json!({}));
        }
        assert!(used(&mut good, &key).is_ok());
    }
    for format in ["fido-u2f", "tpm", "apple", "NONE", ""] {
        let mut device = device(true);
        device.format = format;
        assert!(registered(&mut device).is_err(), "{format}");
    }
}

#[test]
fn an_answer_to_one_question_is_none_to_another() {
    let mut device = device(true);
    let made = registered(&mut device).unwrap();
    let create = device.create(&options());
    let get = device.get(&options());
    let (other, party) = ([8; CHALLENGE_BYTES], party());
    let expected = Expected { challenge: &CHALLENGE, party: &party };
    let (client, object) = (decoded(&create, "clientDataJSON"), decoded(&create, "attestationObject"));
    let elsewhere = Party { rp_id: "example".to_owned(), ..party.clone() };
    for (client, object, id, expected) in [
        (&decoded(&get, "clientDataJSON"), &object, &device.credential_id, expected),
        (&client, &object, &vec![1; 32], expected),
        (&client, &object, &device.credential_id, Expected { challenge: &other, ..expected }),
        (&client, &object, &device.credential_id, Expected { party: &elsewhere, ..expected }),
        (&client, &[object.clone(), vec![0]].concat(), &device.credential_id, expected),
        (&client, &decoded(&create, "authenticatorData"), &device.credential_id, expected),
    ] {
        assert!(register(client, object, id, expected).is_err());
    }
    let (client, data) = (decoded(&get, "clientDataJSON"), decoded(&get, "authenticatorData"));
    let (signature, with_key) = (decoded(&get, "signature"), decoded(&create, "authenticatorData"));
    for (client, data, signature, expected) in [
        (&decoded(&create, "clientDataJSON"), &data, &signature, expected),
        (&client, &with_key, &signature, expected),
        (&client, &data, &vec![], expected),
        (&client, &data, &signature, Expected { challenge: &other, ..expected }),
        (&client, &data, &signature, Expected { party: &elsewhere, ..expected }),
    ] {
        let answer = Assertion { client_data: client, authenticator_data: data, signature };
        assert!(assert(answer, &made.key, expected).is_err());
    }
    let answer = Assertion { client_data: &client, authenticator_data: &data, signature: &signature };
    assert_eq!(assert(answer, &made.key, expected), Ok(1));
}

#[test]
fn counters_only_go_on() {
    for (stored, count, goes_on) in [
        (0, 0, true),
        (0, 1, true),
        (5, 6, true),
        (5, 5, false),
        (5, 4, false),
        (5, 0, false),
        (4_294_967_295, 0, false),
    ] {
        assert_eq!(advances(stored, count), goes_on, "{stored} {count}");
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    let point = device(true).cose();
    let mut off_curve = point.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let mut compressed = point.clone();
    compressed[0] = 0xa4;
    let mut p384 = point.clone();
    p384[6] = 2;
    let mut rs256 = point.clone();
    rs256[4] = 0x38;
    let mut mixed = device(false).cose();
    mixed[4] = 0x26;
    for (what, bytes) in [
        ("off the curve", off_curve),
        ("without a coordinate", compressed),
        ("another curve", p384),
        ("another algorithm", rs256),
        ("one kind's algorithm, another's curve", mixed),
        ("half of it", point[..40].to_vec()),
    ] {
        assert!(cbor::document(&bytes).and_then(|cose| Key::read(&cose)).is_err(), "{what}");
    }
    assert_eq!(Key::stored(-257, &[0; 32]), None);
    assert_eq!(Key::stored(-7, &[4; 65]), None);
    assert_eq!(Key::stored(-8, &[1; 31]), None);
}

proptest! {
    #[test]
    fn bytes_at_random_are_refused_and_break_nothing(client in prop::collection::vec(any::<u8>(), 0..400),
        object in prop::collection::vec(any::<u8>(), 0..400)) {
        let party = party();
        let expected = Expected { challenge: &CHALLENGE, party: &party };
        prop_assert!(register(&client, &object, &[], expected).is_err());
        let _ = cbor::document(&object);
        let _ = AuthenticatorData::read(&object);
        prop_assert!(challenge_of(&client).is_err());
    }

    #[test]
    fn one_bit_makes_it_another_answer(at in any::<prop::sample::Index>(), bit in 0..8_u8, which in 0..3_usize, es256: bool) {
        let mut device = device(es256);
        let made = registered(&mut device).unwrap();
        let answer = device.get(&options());
        let mut parts = ["clientDataJSON", "authenticatorData", "signature"].map(|member| decoded(&answer, member));
        let place = at.index(parts[which].len());
        parts[which][place] ^= 1 << bit;
        let [client_data, data, signature] = &parts;
        let answer = Assertion { client_data, authenticator_data: data, signature };
        let party = party();
        let verified = assert(answer, &made.key, Expected { challenge: &CHALLENGE, party: &party });
        prop_assert!(verified.is_err());
    }

    #[test]
    fn one_byte_of_a_new_key_breaks_nothing(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut device = device(true);
        let answer = device.create(&options());
        let (client, mut object) = (decoded(&answer, "clientDataJSON"), decoded(&answer, "attestationObject"));
        let place = at.index(object.len());
        let whole = object.clone();
        object[place] = byte;
        let party = party();
        let expected = Expected { challenge: &CHALLENGE, party: &party };
        // It may still be a passkey, of another counter or make: it is never one of another site or another id.
        if let Ok(made) = register(&client, &object, &device.credential_id, expected) {
            prop_assert_eq!(made.credential_id, device.credential_id.clone());
        }
        let half = &whole[..cut.index(whole.len())];
        prop_assert!(register(&client, half, &device.credential_id, expected).is_err());
    }
}
