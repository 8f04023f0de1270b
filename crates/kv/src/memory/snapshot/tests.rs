use std::sync::Arc;

use tidestore_disk::SimDisk;

use super::*;

const PATH: &str = "snapshot";

fn disk_with(bytes: &[u8]) -> Arc<SimDisk> {
    let disk = SimDisk::new();
    disk.plant(Path::new(PATH), bytes).unwrap();
    Arc::new(disk)
}

fn read_bytes(bytes: &[u8]) -> Result<Option<Map>> {
    read(disk_with(bytes).as_ref(), Path::new(PATH))
}

fn sample() -> Map {
    let entry = |table, key: &str, value: &str| ((Table(table), key.into()), value.into());
    [
        entry(0, "", ""),
        entry(1, "k", "v"),
        entry(1, "kk", ""),
        entry(255, "", "vv"),
    ]
    .into()
}

fn bytes_of(map: &Map) -> Vec<u8> {
    encode(map, Path::new(PATH)).unwrap()
}

/// A file whose checksums are right, whatever its body is.
fn sealed(entries: u64, body: &[u8]) -> Vec<u8> {
    [&encode_header(entries, body), body].concat()
}

fn reseal_header(bytes: &mut [u8]) {
    let checksum = crc32fast::hash(&bytes[..36]);
    bytes[36..40].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn the_example_in_the_documentation_is_what_is_written() {
    let map = Map::from([((Table(1), b"k".to_vec()), b"v".to_vec())]);
    let rows: Vec<String> = bytes_of(&map)
        .chunks(16)
        .map(|row| {
            row.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(
        rows,
        [
            "54 49 44 45 4b 56 4d 53 01 00 00 00 00 00 00 00",
            "01 00 00 00 00 00 00 00 09 00 00 00 00 00 00 00",
            "b3 b5 eb c9 be 31 42 13 01 01 00 01 00 00 00 6b",
            "76",
        ]
    );
}

#[test]
fn what_is_written_is_read_back() {
    for map in [Map::new(), sample()] {
        assert_eq!(read_bytes(&bytes_of(&map)).unwrap(), Some(map));
    }
}

#[test]
fn a_missing_file_is_no_snapshot() {
    assert_eq!(read(&SimDisk::new(), Path::new(PATH)).unwrap(), None);
}

#[test]
fn every_flipped_bit_is_reported_as_corruption_of_the_file() {
    let intact = bytes_of(&sample());
    for position in 0..intact.len() {
        for bit in 0..8 {
            let mut bytes = intact.clone();
            bytes[position] ^= 1 << bit;
            let error = read_bytes(&bytes).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Corruption,
                "byte {position} bit {bit}"
            );
            assert!(error.to_string().contains(PATH), "{error}");
        }
    }
}

#[test]
fn every_cut_and_every_surplus_byte_is_reported_as_corruption() {
    let intact = bytes_of(&sample());
    for len in 0..intact.len() {
        let error = read_bytes(&intact[..len]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "cut to {len} bytes");
    }
    let error = read_bytes(&[intact.as_slice(), b"x"].concat()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
}

#[test]
fn an_intact_file_of_a_later_version_is_unsupported() {
    let mut bytes = bytes_of(&sample());
    bytes[8] = 2;
    reseal_header(&mut bytes);
    assert_eq!(
        read_bytes(&bytes).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn lengths_that_lie_under_right_checksums_are_refused() {
    let mut bomb = bytes_of(&sample());
    bomb[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    reseal_header(&mut bomb);
    let entry = |key_len: u16, value_len: u32, rest: &[u8]| {
        [
            &[1],
            key_len.to_le_bytes().as_slice(),
            &value_len.to_le_bytes(),
            rest,
        ]
        .concat()
    };
    let lies = [
        bomb,
        sealed(1, &entry(9, 1, b"kv")),
        sealed(1, &entry(1, 9, b"kv")),
        sealed(1, &entry(1, u32::MAX, b"kv")),
        sealed(1, &[1, 0]),
        sealed(2, &entry(1, 1, b"kv")),
        sealed(0, &entry(1, 1, b"kv")),
        sealed(u64::MAX, b""),
    ];
    for (number, bytes) in lies.iter().enumerate() {
        let error = read_bytes(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "lie {number}: {error}");
    }
}

#[test]
fn entries_out_of_order_or_twice_are_refused() {
    let low = [1, 1, 0, 0, 0, 0, 0, b'a'];
    let high = [1, 1, 0, 0, 0, 0, 0, b'b'];
    assert!(read_bytes(&sealed(2, &[low, high].concat())).is_ok());
    for pair in [[high, low], [low, low]] {
        let error = read_bytes(&sealed(2, &pair.concat())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption);
    }
}

#[test]
fn a_body_longer_than_the_bound_allocates_nothing() {
    let mut header = encode_header(0, b"");
    header[24..32].copy_from_slice(&(u64::MAX - 100).to_le_bytes());
    reseal_header(&mut header);
    let len = u64::MAX - 100 + HEADER_BYTES as u64;
    let error = Header::decode(&header, len, Path::new(PATH)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
}
