//! MACs in all the ways in which they have gone wrong elsewhere. What is to be comes from RFC 4231, from Project Wycheproof
//! and from Python (tests/data/wycheproof), and from an HMAC made of RFC 2104's one line, which is held to these first.

use bitwire::frame::{Frame, IntactFrame, Key};
use bitwire::{Error, ErrorKind};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{bytes, envelope};

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// H(K xor opad, H(K xor ipad, text)).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&sha256(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = sha256(&[&block.map(|byte| byte ^ 0x36)[..], text].concat());
    sha256(&[&block.map(|byte| byte ^ 0x5C)[..], &inner].concat())
}

fn file(name: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wycheproof").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A frame taken apart, to be put together otherwise: no END, no CRC, no magic.
#[derive(Clone)]
struct Parts {
    ctx: [u8; 8],
    tlvs: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
}

const HMAC: u8 = 0xF1;

impl Parts {
    /// CONFIG_V1, FLAGS_V1 with AUTHENTICATED, an unknown TLV, a tag still to be made, padding.
    fn sample() -> Self {
        let mut config = vec![200, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0];
        config.extend(4u64.to_be_bytes());
        let mut hmac = vec![1];
        hmac.extend([0; 32]);
        let tlvs =
            [(1, config), (2, vec![0, 0, 0, 1]), (0x90, b"abc".to_vec()), (HMAC, hmac), (0xFE, vec![0; 2])];
        Self { ctx: [1, 2, 3, 4, 5, 6, 7, 8], tlvs: tlvs.into(), payload: vec![0xDE, 0xAD, 0xBE, 0xEF] }
    }

    /// What HMAC_V1 covers: ctx, TLVs except HMAC_V1 and END, payload.
    fn covered(&self) -> Vec<u8> {
        self.hashed(|tlv| tlv != HMAC)
    }

    fn hashed(&self, takes: impl Fn(u8) -> bool) -> Vec<u8> {
        let mut all = self.ctx.to_vec();
        for (tlv, value) in self.tlvs.iter().filter(|(tlv, _)| takes(*tlv)) {
            all.push(*tlv);
            all.extend((value.len() as u16).to_be_bytes());
            all.extend(value);
        }
        all.extend(&self.payload);
        all
    }

    fn value(&mut self, tlv: u8) -> &mut Vec<u8> {
        &mut self.tlvs.iter_mut().find(|(found, _)| *found == tlv).unwrap().1
    }

    fn flags(&mut self, flags: u8) {
        self.value(2)[3] = flags;
    }

    fn tagged(&self, tag: &[u8]) -> Self {
        let mut parts = self.clone();
        *parts.value(HMAC) = [&[1], tag].concat();
        parts
    }

    fn signed(&self, key: &[u8]) -> Self {
        self.tagged(&hmac(key, &self.covered()))
    }

    /// As it is, with a good CRC.
    fn frame(&self) -> Vec<u8> {
        let mut bytes = b"BIT\x01".to_vec();
        bytes.extend(&self.hashed(|_| true)[..self.hashed(|_| true).len() - self.payload.len()]);
        bytes.extend([0xFF, 0, 0]);
        bytes.extend(&self.payload);
        let crc = envelope::crc(&bytes[4..]);
        bytes.extend(crc.to_be_bytes());
        bytes
    }

    /// Where the value of a TLV starts.
    fn place(&self, tlv: u8) -> u64 {
        let before = self.tlvs.iter().take_while(|(found, _)| *found != tlv);
        12 + before.map(|(_, value)| 3 + value.len() as u64).sum::<u64>() + 3
    }
}

const KEY: &[u8] = b"sixteen bytes or";

fn verdict(frame: &[u8], key: &[u8]) -> Result<(), Error> {
    let key = Key::new(key).unwrap();
    let whole = Frame::parse_exact(frame).and_then(|frame| frame.verify(&key)).map(drop);
    // Without the hashes, the same.
    let intact = IntactFrame::parse(frame).and_then(|(intact, _)| intact.check_mac(&key));
    if !matches!(whole, Err(error) if matches!(error.kind(), ErrorKind::Digest | ErrorKind::ContextHash)) {
        assert_eq!(intact, whole);
    }
    whole
}

#[test]
fn the_hmac_here_is_that_of_rfc_4231_and_wycheproof() {
    let hex = |text: &str| bytes(&Value::from_iter([("x", text)]), "x").unwrap();
    // RFC 4231, 4.2, 4.3, 4.4, 4.7 and 4.6 (of which it gives 128 bits).
    for (key, text, tag) in [
        (
            vec![0x0B; 20],
            &b"Hi There"[..],
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (vec![0xAA; 20], &[0xDD; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (
            vec![0xAA; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (vec![0x0C; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    ] {
        let tag = hex(tag);
        assert_eq!(hmac(&key, text)[..tag.len()], tag);
    }
    let (mut valid, mut invalid) = (0, 0);
    for case in file("hmac_sha256.json")["tests"].as_array().unwrap() {
        let [key, msg, tag] = ["key", "msg", "tag"].map(|name| bytes(case, name).unwrap());
        let same = hmac(&key, &msg)[..tag.len()] == tag;
        assert_eq!(same, case["result"] == "valid", "{case}");
        *if same { &mut valid } else { &mut invalid } += 1;
    }
    assert_eq!((valid, invalid), (19, 19));
}

/// Keys of 0 to 80 bytes: those of 16 to 64 are taken, and sign what Python signs.
#[test]
fn keys_of_every_length() {
    let python = file("python.json");
    let sample = Parts::sample();
    assert_eq!(bytes(&python, "covered").unwrap(), sample.covered());
    let tags = python["tags"].as_array().unwrap();
    assert_eq!(tags.len(), 81);
    for (len, case) in tags.iter().enumerate() {
        let (key, tag) = (bytes(case, "key").unwrap(), bytes(case, "tag").unwrap());
        assert_eq!((key.len(), &hmac(&key, &sample.covered())[..]), (len, &tag[..]));
        match Key::new(&key) {
            Ok(taken) => {
                assert!((16..=64).contains(&len));
                let frame = sample.tagged(&tag).frame();
                assert_eq!(verdict(&frame, &key), Ok(()), "{len}");
                // What the library writes is the same frame.
                let parsed = Frame::parse_exact(&frame).unwrap();
                assert_eq!(parsed.to_builder().sign(&taken).encode().unwrap(), frame, "{len}");
            }
            Err(error) => {
                assert!(!(16..=64).contains(&len));
                assert_eq!(error, Error::caller(ErrorKind::KeyLength { found: len as u64 }));
            }
        }
    }
}

/// Of the equivalent keys of RFC 2104 those with zero bytes at their end arise; a key and its hash cannot both be taken.
#[test]
fn equivalent_keys() {
    let sample = Parts::sample();
    for len in 16..64 {
        let key: Vec<u8> = (1..=len).collect();
        let frame = sample.signed(&key).frame();
        for more in 1..=64 - usize::from(len) {
            let same = [&key[..], &vec![0; more]].concat();
            assert_eq!(verdict(&frame, &same), Ok(()), "{len} and {more}");
            let mut other = same;
            *other.last_mut().unwrap() = 1;
            assert_eq!(verdict(&frame, &other).unwrap_err().kind(), ErrorKind::Hmac, "{len} and {more}");
            // In front they are another key.
            let other = [&vec![0; more], &key[..]].concat();
            assert_eq!(verdict(&frame, &other).unwrap_err().kind(), ErrorKind::Hmac, "{len} and {more}");
        }
    }
    assert_eq!(verdict(&sample.signed(&[0; 16]).frame(), &[0; 64]), Ok(()));
    let mut long = 0;
    for case in file("hmac_sha256.json")["tests"].as_array().unwrap() {
        let key = bytes(case, "key").unwrap();
        if key.len() > 64 {
            long += 1;
            let refused = Error::caller(ErrorKind::KeyLength { found: key.len() as u64 });
            assert_eq!(Key::new(&key).unwrap_err(), refused);
            assert_eq!(verdict(&sample.signed(&key).frame(), &sha256(&key)), Ok(()));
        }
    }
    assert_eq!(long, 4);
}

/// Every bit of the tag, and what Wycheproof does to tags.
#[test]
fn changed_tags() {
    let sample = Parts::sample();
    let wrong = Error::new(ErrorKind::Hmac, sample.place(HMAC) + 1);
    let tag = hmac(KEY, &sample.covered());
    assert_eq!(verdict(&sample.tagged(&tag).frame(), KEY), Ok(()));
    let refused = |changed: [u8; 32]| {
        assert_ne!(changed, tag);
        assert_eq!(verdict(&sample.tagged(&changed).frame(), KEY), Err(wrong), "{changed:02x?}");
    };
    for bit in 0..256 {
        for other in bit..256 {
            let mut changed = tag;
            changed[bit / 8] ^= 1 << (bit % 8);
            if other > bit {
                changed[other / 8] ^= 1 << (other % 8);
            }
            refused(changed);
        }
    }
    for mask in 1..=255 {
        refused(tag.map(|byte| byte ^ mask));
    }
    refused([0; 32]);
    refused([0xFF; 32]);
    for len in 0..32 {
        // Right up to there, zeros after it; and the other way round.
        let mut changed = tag;
        changed[len..].fill(0);
        refused(changed);
        let mut changed = tag;
        changed[..=len].fill(0);
        refused(changed);
        let mut changed = tag;
        changed.rotate_left(len.max(1));
        refused(changed);
    }
    // Both halves the other way round, and all of it.
    let mut changed = tag;
    changed.reverse();
    refused(changed);
    // The harms of Wycheproof's tags, done to this one.
    let mut harms = 0;
    for case in file("hmac_sha256.json")["tests"].as_array().unwrap() {
        if case["result"] == "invalid" {
            let [key, msg, bad] = ["key", "msg", "tag"].map(|name| bytes(case, name).unwrap());
            let good = hmac(&key, &msg);
            refused(std::array::from_fn(|i| tag[i] ^ good[i] ^ bad[i]));
            harms += 1;
        }
    }
    assert_eq!(harms, 19);
}

/// No tag is taken but one of 32 bytes behind version 01: no truncation is negotiated.
#[test]
fn tags_of_other_lengths() {
    let sample = Parts::sample();
    let tag = hmac(KEY, &sample.covered());
    let forever: Vec<u8> = tag.iter().copied().cycle().take(200).collect();
    for len in (0..=200).filter(|len| *len != 33) {
        let mut parts = sample.clone();
        *parts.value(HMAC) = [&[1], &forever[..]].concat()[..len].to_vec();
        let found = ErrorKind::TlvLength { tlv: HMAC, needed: 33, found: len as u32 };
        assert_eq!(verdict(&parts.frame(), KEY), Err(Error::new(found, sample.place(HMAC) - 2)), "{len}");
    }
    for version in (0..=255).filter(|version| *version != 1) {
        let mut parts = sample.tagged(&tag);
        parts.value(HMAC)[0] = version;
        let found = ErrorKind::ValueVersion { tlv: HMAC, found: version };
        assert_eq!(verdict(&parts.frame(), KEY), Err(Error::new(found, sample.place(HMAC))));
    }
    // Tags of 128 bits that Wycheproof takes.
    let mut truncated = 0;
    for case in file("hmac_sha256.json")["tests"].as_array().unwrap() {
        let (key, tag) = (bytes(case, "key").unwrap(), bytes(case, "tag").unwrap());
        if tag.len() == 16 && (16..=64).contains(&key.len()) {
            truncated += 1;
            let half = &hmac(&key, &sample.covered())[..16];
            let found = ErrorKind::TlvLength { tlv: HMAC, needed: 33, found: 17 };
            let refused = Error::new(found, sample.place(HMAC) - 2);
            assert_eq!(verdict(&sample.tagged(half).frame(), &key), Err(refused));
            // Nor filled up.
            for fill in [[0; 16], half.try_into().unwrap()] {
                let error = verdict(&sample.tagged(&[half, &fill].concat()).frame(), &key).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Hmac);
            }
        }
    }
    assert_eq!(truncated, 4);
}

/// Tags of something else: other messages, other keys, other domains, other hashes.
#[test]
fn tags_of_something_else() {
    let sample = Parts::sample();
    let wrong = Err(Error::new(ErrorKind::Hmac, sample.place(HMAC) + 1));
    let (covered, frame) = (sample.covered(), sample.frame());
    let mut messages: Vec<(String, Vec<u8>)> = [
        ("nothing", Vec::new()),
        ("with the magic", [b"BIT\x01", &covered[..]].concat()),
        ("without ctx", covered[8..].to_vec()),
        ("with END", {
            let (tlvs, payload) = covered.split_at(covered.len() - 4);
            [tlvs, &[0xFF, 0, 0], payload].concat()
        }),
        ("without the payload", covered[..covered.len() - 4].to_vec()),
        ("the payload alone", sample.payload.clone()),
        ("the whole frame, its tag zero", frame.clone()),
        ("the frame without magic and CRC, its tag zero", frame[4..frame.len() - 2].to_vec()),
        ("without padding, as the digest", sample.hashed(|tlv| tlv < 0xF0)),
        ("its hash", sha256(&covered).to_vec()),
        ("itself twice", covered.repeat(2)),
        ("a byte more", [&covered[..], &[0]].concat()),
        ("a byte less", covered[..covered.len() - 1].to_vec()),
    ]
    .map(|(name, message)| (name.to_owned(), message))
    .into();
    messages.extend((0..8 * covered.len()).map(|bit| {
        let mut other = covered.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        (format!("bit {bit}"), other)
    }));
    for (name, message) in messages {
        assert_ne!(message, covered, "{name}");
        assert_eq!(verdict(&sample.tagged(&hmac(KEY, &message)).frame(), KEY), wrong, "{name}");
    }
    for (name, tag) in [
        ("H(message)", sha256(&covered)),
        ("H(key, message)", sha256(&[KEY, &covered].concat())),
        ("H(message, key)", sha256(&[&covered, KEY].concat())),
        ("H(key, message, key)", sha256(&[KEY, &covered, KEY].concat())),
        ("the key", [KEY, KEY].concat().try_into().unwrap()),
        ("H(key)", sha256(KEY)),
    ] {
        assert_eq!(verdict(&sample.tagged(&tag).frame(), KEY), wrong, "{name}");
    }
    let good = sample.signed(KEY).frame();
    for bit in 0..8 * KEY.len() {
        let mut other = KEY.to_vec();
        other[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verdict(&good, &other), wrong, "bit {bit} of the key");
    }
    // Each bit that the tag covers, behind it: structure, or the tag. Both ctx and values are free here.
    let mut by_tag = 0;
    for bit in 32..8 * (good.len() - 2) {
        let mut other = good.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        let end = other.len() - 2;
        let crc = envelope::crc(&other[4..end]);
        other[end..].copy_from_slice(&crc.to_be_bytes());
        let error = verdict(&other, KEY).expect_err("a changed frame verifies");
        by_tag += usize::from(error.kind() == ErrorKind::Hmac);
    }
    assert!(by_tag > 300, "{by_tag}");
}

/// A tag made for a frame of one kind, put on the same frame as another kind.
#[test]
fn tags_of_another_kind() {
    let of_kind = |kind: u8| {
        let mut parts = Parts::sample();
        parts.value(1)[0] = kind;
        // Kind 1 has to have a digest.
        let digest = [&[1][..], &sha256(&parts.hashed(|tlv| tlv < 0xF0))].concat();
        parts.tlvs.insert(3, (0xF0, digest));
        parts.signed(KEY)
    };
    for from in 0..=8 {
        let tag = of_kind(from).value(HMAC)[1..].to_vec();
        for to in 0..=8 {
            let parts = of_kind(to).tagged(&tag);
            let expected =
                if from == to { Ok(()) } else { Err(Error::new(ErrorKind::Hmac, parts.place(HMAC) + 1)) };
            assert_eq!(verdict(&parts.frame(), KEY), expected, "{from} on {to}");
        }
    }
}

/// Stripped, moved, doubled, renamed.
#[test]
fn tags_elsewhere() {
    let sample = Parts::sample().signed(KEY);
    let tlv = sample.tlvs[3].clone();
    assert_eq!(tlv.0, HMAC);
    let mut stripped = sample.clone();
    stripped.tlvs.remove(3);
    // Without its flag being taken back: who strips it has to do that too, and then it is missing.
    let flags = Error::new(ErrorKind::FlagsHmac { hmac: false }, sample.place(2));
    assert_eq!(verdict(&stripped.frame(), KEY), Err(flags));
    stripped.flags(0);
    assert!(Frame::parse_exact(&stripped.frame()).is_ok());
    let missing = Error::new(ErrorKind::HmacMissing, sample.place(HMAC) - 3);
    assert_eq!(verdict(&stripped.frame(), KEY), Err(missing));
    // There, and not said to be.
    let mut hidden = sample.clone();
    hidden.flags(0);
    let hidden = hidden.signed(KEY);
    let flags = Error::new(ErrorKind::FlagsHmac { hmac: true }, sample.place(2));
    assert_eq!(verdict(&hidden.frame(), KEY), Err(flags));
    // At every other place, and once more at every place.
    for at in 0..=sample.tlvs.len() - 1 {
        let mut moved = sample.clone();
        moved.tlvs.remove(3);
        moved.tlvs.insert(at, tlv.clone());
        let found = verdict(&moved.frame(), KEY);
        let expected = match at {
            0 => Err("ConfigNotFirst"),
            3 => Ok(()),
            _ => Err("TlvOrder"),
        };
        assert_eq!(found.map_err(|error| error.kind().name()), expected, "at {at}");
        let mut doubled = sample.clone();
        doubled.tlvs.insert(at, tlv.clone());
        let expected = if at == 0 { "ConfigNotFirst" } else { "TlvOrder" };
        assert_eq!(verdict(&doubled.frame(), KEY).unwrap_err().kind().name(), expected, "twice, at {at}");
    }
    // Behind END it is payload, and behind the payload what follows the frame.
    let mut payload = stripped.clone();
    payload.payload = [&[HMAC, 0, 33], &tlv.1[..], &[0; 0]].concat();
    payload.value(1)[16..].copy_from_slice(&36u64.to_be_bytes());
    assert_eq!(verdict(&payload.frame(), KEY).unwrap_err().kind(), ErrorKind::HmacMissing);
    let trailing = [stripped.frame(), vec![HMAC, 0, 33], tlv.1.clone()].concat();
    let error = Frame::parse_exact(&trailing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TrailingBytes { count: 36 });
    // Under another name that a reader may skip.
    let mut renamed = stripped;
    renamed.tlvs.insert(3, (0x91, tlv.1));
    assert_eq!(verdict(&renamed.frame(), KEY).unwrap_err().kind(), ErrorKind::HmacMissing);
}
