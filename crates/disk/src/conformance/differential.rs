//! The same random operations on the real and the simulated disk must have the same results.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::File;

#[derive(Clone, Debug)]
enum Op {
    Open(&'static str, OpenMode),
    Write { offset: u16, len: u8 },
    SetLen(u16),
    Punch { offset: u16, len: u16 },
    Read { offset: u16, len: u8 },
    Close,
    Rename(&'static str, &'static str),
    HardLink(&'static str, &'static str),
    RemoveFile(&'static str),
    RemoveDir(&'static str),
    CreateDirAll(&'static str),
    List(&'static str),
    Metadata(&'static str),
}

fn paths() -> impl Strategy<Value = &'static str> {
    let paths = [
        "", "a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "c/a", "a/../b", "/a",
    ];
    prop::sample::select(paths.to_vec())
}

fn modes() -> impl Strategy<Value = OpenMode> {
    let modes = [
        OpenMode::Read,
        OpenMode::Write,
        OpenMode::CreateNew,
        OpenMode::Create,
    ];
    prop::sample::select(modes.to_vec())
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (paths(), modes()).prop_map(|(path, mode)| Op::Open(path, mode)),
        3 => (0..2000_u16, any::<u8>()).prop_map(|(offset, len)| Op::Write { offset, len }),
        1 => (0..2000_u16).prop_map(Op::SetLen),
        1 => (0..2000_u16, 1..9000_u16).prop_map(|(offset, len)| Op::Punch { offset, len }),
        2 => (0..2000_u16, any::<u8>()).prop_map(|(offset, len)| Op::Read { offset, len }),
        1 => Just(Op::Close),
        4 => (paths(), paths()).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => (paths(), paths()).prop_map(|(from, to)| Op::HardLink(from, to)),
        2 => paths().prop_map(Op::RemoveFile),
        2 => paths().prop_map(Op::RemoveDir),
        2 => paths().prop_map(Op::CreateDirAll),
        1 => paths().prop_map(Op::List),
        1 => paths().prop_map(Op::Metadata),
    ]
}

/// Carries an operation out and describes its result.
fn run(disk: &dyn Disk, open: &mut Option<Arc<dyn File>>, op: &Op) -> String {
    let result = match (op, &*open) {
        (Op::Open(path, mode), _) => disk.open(p(path), *mode).map(|file| {
            *open = Some(file);
            String::new()
        }),
        (Op::Write { offset, len }, Some(file)) => {
            let bytes = vec![*len; usize::from(*len)];
            file.write_at(&bytes, u64::from(*offset))
                .map(|n| n.to_string())
        }
        // The kinds of these two differ when a handle is read-only, so only success is compared.
        (Op::SetLen(len), Some(file)) => {
            return file.set_len(u64::from(*len)).is_ok().to_string();
        }
        (Op::Punch { offset, len }, Some(file)) => {
            let punched = file.punch(u64::from(*offset), u64::from(*len));
            return punched.is_ok().to_string();
        }
        (Op::Read { offset, len }, Some(file)) => {
            let mut buf = vec![0; usize::from(*len)];
            file.read_at(&mut buf, u64::from(*offset))
                .map(|n| format!("{n} {buf:?}"))
        }
        (Op::Close, _) => {
            *open = None;
            Ok(String::new())
        }
        (Op::Rename(from, to), _) => disk.rename(p(from), p(to)).map(|()| String::new()),
        (Op::HardLink(from, to), _) => disk
            .hard_link(p(from), disk, p(to))
            .map(|linked| linked.to_string()),
        (Op::RemoveFile(path), _) => disk.remove_file(p(path)).map(|()| String::new()),
        (Op::RemoveDir(path), _) => disk.remove_dir(p(path)).map(|()| String::new()),
        (Op::CreateDirAll(path), _) => disk.create_dir_all(p(path)).map(|()| String::new()),
        (Op::List(path), _) => disk.list(p(path)).map(|list| format!("{list:?}")),
        (Op::Metadata(path), _) => disk
            .metadata(p(path))
            .map(|m| format!("{:?} {}", m.kind, m.len)),
        (Op::Write { .. } | Op::SetLen(_) | Op::Punch { .. } | Op::Read { .. }, None) => {
            Ok(String::new())
        }
    };
    result.unwrap_or_else(|error| format!("{:?}", error.kind()))
}

fn tree(disk: &dyn Disk, path: &str, found: &mut Vec<String>) {
    for entry in disk.list(p(path)).unwrap() {
        let path = if path.is_empty() {
            entry.name
        } else {
            format!("{path}/{}", entry.name)
        };
        if entry.kind == EntryKind::Dir {
            found.push(path.clone());
            tree(disk, &path, found);
        } else {
            found.push(format!("{path}: {:?}", read(disk, &path)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn both_disks_do_the_same(ops in prop::collection::vec(ops(), 1..40)) {
        let dir = TempDir::new().unwrap();
        let real = RealDisk::open(dir.path()).unwrap();
        let sim = SimDisk::new();
        let (mut real_open, mut sim_open) = (None, None);
        for op in &ops {
            let (real, sim) = (run(&real, &mut real_open, op), run(&sim, &mut sim_open, op));
            prop_assert_eq!(real, sim, "{:?}", op);
        }
        let (mut real_tree, mut sim_tree) = (Vec::new(), Vec::new());
        tree(&real, "", &mut real_tree);
        tree(&sim, "", &mut sim_tree);
        prop_assert_eq!(real_tree, sim_tree);
    }
}
