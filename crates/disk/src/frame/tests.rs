use proptest::prelude::*;

use super::*;

const SEAL: Seal = Seal {
    store: *b"0123456789abcdef",
    kind: 3,
    generation: 9,
};
const OFFSET: u64 = 4096;
const MAX: u32 = 1 << 20;

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(&mut out, &SEAL, OFFSET, payload).unwrap();
    out
}

#[test]
fn frames_written_one_after_another_are_read_back() {
    let mut file = Vec::new();
    let mut offset = OFFSET;
    for payload in [&b"one"[..], b"", b"three"] {
        offset = encode_frame(&mut file, &SEAL, offset, payload).unwrap();
    }
    let (mut at, mut offset, mut found) = (0, OFFSET, Vec::new());
    while at < file.len() {
        let (range, next) = decode_frame(&file[at..], &SEAL, offset, MAX).unwrap();
        found.push(file[at..][range].to_vec());
        at += usize::try_from(next - offset).unwrap();
        offset = next;
    }
    assert_eq!(found, [&b"one"[..], b"", b"three"]);
}

#[test]
fn a_frame_has_exactly_the_documented_bytes() {
    let bytes = frame(b"tide");
    assert_eq!(bytes[..4], [4, 0, 0, 0]);
    assert_eq!(&bytes[8..], b"tide");
    let mut covered = b"0123456789abcdef".to_vec();
    covered.extend([3, 0, 0, 0]);
    covered.extend([9, 0, 0, 0, 0, 0, 0, 0]);
    covered.extend([0, 16, 0, 0, 0, 0, 0, 0]);
    covered.extend(b"\x04\0\0\0tide");
    assert_eq!(bytes[4..8], crc32fast::hash(&covered).to_le_bytes());
}

#[test]
fn every_flipped_bit_is_refused() {
    let good = frame(b"a payload of some length, long enough to matter");
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_frame(&bad, &SEAL, OFFSET, MAX).is_err(), "bit {bit}");
    }
}

#[test]
fn every_cut_is_refused_as_truncated() {
    let good = frame(b"a payload");
    for len in 0..good.len() {
        let result = decode_frame(&good[..len], &SEAL, OFFSET, MAX);
        let available = len as u64;
        let needed = if len < FRAME_HEADER_BYTES {
            8
        } else {
            good.len() as u64
        };
        assert_eq!(
            result,
            Err(FrameError::Truncated { needed, available }),
            "{len} bytes"
        );
    }
}

#[test]
fn a_frame_in_the_wrong_place_is_refused() {
    let good = frame(b"a payload");
    let mut other_store = SEAL;
    other_store.store[15] ^= 1;
    let seals = [
        other_store,
        Seal { kind: 4, ..SEAL },
        Seal {
            generation: 10,
            ..SEAL
        },
    ];
    for seal in seals {
        let result = decode_frame(&good, &seal, OFFSET, MAX);
        assert!(
            matches!(result, Err(FrameError::Checksum { .. })),
            "{seal:?}: {result:?}"
        );
    }
    let result = decode_frame(&good, &SEAL, OFFSET + 512, MAX);
    assert!(
        matches!(result, Err(FrameError::Checksum { .. })),
        "{result:?}"
    );
}

#[test]
fn a_length_bomb_is_refused_before_anything_else() {
    let mut bomb = frame(b"a payload");
    bomb[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let refused = FrameError::TooLong {
        len: u32::MAX.into(),
        max: MAX.into(),
    };
    assert_eq!(decode_frame(&bomb, &SEAL, OFFSET, MAX), Err(refused));
    let result = decode_frame(&bomb, &SEAL, OFFSET, u32::MAX);
    assert!(
        matches!(result, Err(FrameError::Truncated { .. })),
        "{result:?}"
    );
}

#[test]
fn zeros_are_never_a_frame() {
    // Miri takes minutes for what else takes a moment.
    let offsets = if cfg!(miri) { 50 } else { 100_000 };
    for offset in 0..offsets {
        assert!(
            decode_frame(&[0; 512], &SEAL, offset, MAX).is_err(),
            "offset {offset}"
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        offset: u64,
        max: u32,
    ) {
        let _ = decode_frame(&bytes, &SEAL, offset, max);
    }

    #[test]
    fn every_payload_comes_back(
        payload in prop::collection::vec(any::<u8>(), 0..600),
        offset in 0..u64::MAX / 2,
        rest in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        let mut bytes = Vec::new();
        let end = encode_frame(&mut bytes, &SEAL, offset, &payload).unwrap();
        prop_assert_eq!(end, offset + bytes.len() as u64);
        bytes.extend(rest);
        let (range, next) = decode_frame(&bytes, &SEAL, offset, MAX).unwrap();
        prop_assert_eq!((&bytes[range], next), (&payload[..], end));
    }
}
