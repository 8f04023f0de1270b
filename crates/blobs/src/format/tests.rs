use proptest::prelude::*;

use super::*;

fn head() -> VolumeHead {
    VolumeHead {
        store: [0xab; 16],
        app: AppId(7),
        shard: 3,
        number: 0x0102_0304_0506_0708,
        bucket: Span {
            start: 1_767_225_600_000,
            end: 1_767_247_200_000,
        },
    }
}

fn record(length: u32) -> RecordHead {
    let count = chunks_of(length.into());
    let mut record = RecordHead {
        length,
        data_at: u32::try_from(head_bytes(count)).unwrap(),
        hash: [9; 32],
        chunks: Vec::new(),
    };
    for index in 0..count {
        let raw = u32::try_from(record.raw_len(index)).unwrap();
        record.chunks.push(Chunk {
            stored: if index % 2 == 0 { raw } else { raw / 2 },
            compressed: index % 2 == 1,
            checksum: 0x1234_5678,
        });
    }
    record
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Written by version 1. What is stored must be readable for ever.
#[test]
fn golden_bytes_of_version_1() {
    let header = head().encode();
    assert_eq!(
        hex(&header[..60]),
        "54494445564f4c3101000300070000000807060504030201abababababababababababababababab\
         00a8da769b010000003f24789b010000d789ec26"
    );
    let seal = seal([0xab; 16], 5);
    let bytes = record(100_000).encode(&seal, 8_192);
    assert_eq!(
        hex(&bytes),
        "424c4231e31efb7aa08601005043010048000000020000000909090909090909\
         0909090909090909090909090909090909090909090909090000010078563412\
         5043008078563412"
    );
}

#[test]
fn a_head_comes_back() {
    assert_eq!(VolumeHead::decode(&head().encode()), Ok(head()));
    let seal = seal([1; 16], 5);
    for length in [0, 1, 65_536, 65_537, 10 << 20] {
        let record = record(length);
        let bytes = record.encode(&seal, 4_096);
        assert_eq!(RecordHead::decode(&bytes, &seal, 4_096), Ok(record));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let header = head().encode();
    let seal = seal([1; 16], 5);
    let bytes = record(200_000).encode(&seal, 4_096);
    for bit in 0..60 * 8 {
        let mut damaged = header.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(VolumeHead::decode(&damaged).is_err(), "bit {bit}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(
            RecordHead::decode(&damaged, &seal, 4_096).is_err(),
            "bit {bit}"
        );
    }
    for len in 0..bytes.len() {
        assert!(
            RecordHead::decode(&bytes[..len], &seal, 4_096).is_err(),
            "cut {len}"
        );
    }
}

#[test]
fn a_record_in_the_wrong_place_is_no_record() {
    let here = seal([1; 16], 5);
    let bytes = record(10).encode(&here, 4_096);
    assert!(RecordHead::decode(&bytes, &here, 8_192).is_err());
    assert!(RecordHead::decode(&bytes, &seal([1; 16], 6), 4_096).is_err());
    assert!(RecordHead::decode(&bytes, &seal([2; 16], 5), 4_096).is_err());
}

/// The checksum is right, the content is a lie: what a hostile file could say.
#[test]
fn a_sealed_lie_is_refused() {
    let seal = seal([1; 16], 5);
    let lies: [fn(&mut RecordHead); 6] = [
        |r| r.length = (10 << 20) + 1,
        |r| r.length += 65_536,
        |r| r.data_at = 8,
        |r| r.data_at = 5_000,
        |r| r.chunks[0].stored += 1,
        |r| r.chunks[1].stored = 65_537,
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        let mut record = record(200_000);
        lie(&mut record);
        let bytes = record.encode(&seal, 4_096);
        assert!(
            RecordHead::decode(&bytes, &seal, 4_096).is_err(),
            "lie {index}"
        );
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = VolumeHead::decode(&bytes);
        let _ = RecordHead::decode(&bytes, &seal([0; 16], 1), 0);
    }
}
