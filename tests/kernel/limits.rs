//! Few descriptors, small files, little address space.

use std::os::unix::process::ExitStatusExt;

use tidestore::EngineKind;

use crate::child::Process;
use crate::host::{Host, need};
use crate::program::{KEY, Program, files, stderr};
use crate::work::Task;

#[test]
fn hundreds_of_segments_and_volumes_are_written_and_read_with_64_descriptors() {
    let host = need!(Host::take(&["prlimit"]));
    for engine in [EngineKind::Redb, EngineKind::Sled] {
        let task = Task {
            what: "many",
            engine,
            shards: 2,
            round: 0,
            dir: host.path(&format!("many-{engine}")),
        };
        let process = Process::start_by("prlimit", &["--nofile=64"], &task.line());
        let (words, is_well) = process.ended();
        let found = |word: &str| words.iter().find(|line| line.starts_with(word)).cloned();
        println!("{engine}: {:?} {:?}", found("files"), found("read"));
        assert!(is_well && found("done").is_some(), "{words:?}");
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let host = need!(Host::take(&["prlimit", "cp", "timeout"]));
    let program = need!(Program::with_app(&host, "fsize"));
    program.write_lines("more.jsonl", 0..20_000);
    let mut refused = 0;
    for limit in [64 << 10, 200 << 10, 600 << 10, 1_200_000, 1_700_000_u64] {
        let here = program.copy("run");
        let import = ["import", KEY, "more.jsonl", "--acks", "acks"];
        let output = here.run(&["prlimit", &format!("--fsize={limit}")], &import);
        let status = output.status;
        assert_eq!(status.signal(), None, "{limit}: killed in silence");
        assert!(
            matches!(status.code(), Some(0 | 7)),
            "{limit}: {status}: {}",
            stderr(&output)
        );
        if status.code() == Some(7) {
            let said = stderr(&output);
            assert!(said.contains("\"full\""), "{limit}: {said}");
            refused += 1;
        }
        let what = format!("limit {limit}");
        let acknowledged = here.check("acks", 0, &what);
        here.verify(&what);
        let again = here.run(&[], &import);
        assert_eq!(again.status.code(), Some(0), "{what}: {}", stderr(&again));
        assert_eq!(here.stored().len(), 20_000);
        println!("{what}: {status}, {acknowledged} acknowledged");
    }
    assert!(refused > 1);
}

#[test]
fn hostile_lengths_are_refused_within_little_address_space() {
    let host = need!(Host::take(&["prlimit", "cp", "timeout"]));
    let program = need!(Program::with_app(&host, "as"));
    program.write_lines("more.jsonl", 0..2_000);
    assert_eq!(
        program
            .run(&[], &["import", KEY, "more.jsonl"])
            .status
            .code(),
        Some(0)
    );
    std::fs::write(program.dir.join("blob"), vec![7; 100_000]).unwrap();
    let put = ["blob", "put", KEY, "blob", "--from", "u1"];
    let _ = program.run(&[], &put);
    let limit = ["prlimit", "--as=700000000"];
    let healthy = program.run(&limit, &["verify"]);
    assert_eq!(healthy.status.code(), Some(0), "{}", stderr(&healthy));
    let mut tried = 0;
    for path in files(&program.data()) {
        let bytes = std::fs::read(&path).unwrap();
        // Wherever a length may stand: at the beginning, and in the footer.
        let len = bytes.len();
        let places = (0..len.min(128)).chain(len.saturating_sub(128)..len);
        for place in places.step_by(11) {
            let mut hostile = bytes.clone();
            for byte in hostile.iter_mut().skip(place).take(8) {
                *byte = 0xff;
            }
            let copy = program.dir.join("hostile").join(path.file_name().unwrap());
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::write(&copy, &hostile).unwrap();
            let output = program.run(&limit, &["inspect", copy.to_str().unwrap()]);
            tried += 1;
            let code = output.status.code();
            assert!(
                matches!(code, Some(0..=3 | 6 | 7)),
                "{} at {place}: {}: {}",
                path.display(),
                output.status,
                stderr(&output)
            );
        }
        // The store with one such file in it, as a whole.
        let mut hostile = bytes;
        for byte in hostile.iter_mut().skip(len / 2).take(64) {
            *byte = 0xff;
        }
        let here = program.copy("run");
        let within = path.strip_prefix(program.data()).unwrap();
        std::fs::write(here.data().join(within), &hostile).unwrap();
        let output = here.run(&limit, &["verify"]);
        assert!(
            matches!(output.status.code(), Some(0 | 1 | 6 | 7)),
            "{}: {}: {}",
            path.display(),
            output.status,
            stderr(&output)
        );
    }
    println!("{tried} hostile files inspected");
    assert!(tried > 50);
}
