//! What a memtable says that it takes up, against what the allocator says. A test of its own, because it counts the
//! allocations of its whole process.

use std::path::PathBuf;
use std::sync::Arc;

use peak_alloc::PeakAlloc;
use tidestore_disk::{Clock, Disk, FileCache, SimClock, SimDisk};
use tidestore_messages::{
    AppId, Applied, Apps, BlockCache, Conversation, Kind, Manifest, Message, MessageId,
    MessageView, ReceiptKey, Revision, SegmentOptions, Seq, StoreId, ViewParts,
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[derive(Debug)]
struct OneApp;

impl Apps for OneApp {
    fn dir(&self, _: AppId) -> Option<PathBuf> {
        Some(PathBuf::from("apps/one"))
    }
    fn retention_days(&self, _: AppId) -> u32 {
        7
    }
    fn physical_floor(&self, _: AppId) -> u64 {
        0
    }
}

fn view() -> MessageView {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let clock: Arc<dyn Clock> = Arc::new(SimClock::new(1_000_000));
    let parts = ViewParts {
        files: Arc::new(FileCache::new(Arc::clone(&disk), 64)),
        blocks: Arc::new(BlockCache::new(1 << 20)),
        disk,
        clock,
        apps: Arc::new(OneApp),
        redacted: Arc::default(),
        store: StoreId([7; 16]),
        shard: 0,
        options: SegmentOptions::default(),
    };
    MessageView::open(parts, Manifest::default())
}

fn row(n: u64, conversation: Conversation, body: usize, client_id: &str) -> Applied {
    let app = AppId(1);
    let key = || ReceiptKey::new(StoreId([7; 16]), app, &conversation, "ann", client_id);
    let receipt = (!client_id.is_empty()).then(key);
    let message = Message {
        id: MessageId::new(1_000_000 + n, 0, false, 0),
        seq: Seq(1),
        sender: "ann".into(),
        kind: Kind::Text,
        body: vec![7; body].into(),
        ext: "".into(),
        client_id: client_id.into(),
        attachments: Vec::new(),
        revision: Revision::Original,
    };
    Applied {
        app,
        conversation,
        message,
        receipt,
    }
}

/// A memtable once counted nothing for a conversation. With one message in each it took three times what it said, and so
/// three times what an operator had given it.
#[test]
fn a_memtable_takes_at_most_a_tenth_more_than_it_says() {
    // Name, rows to a conversation, bytes of a body, whether with a client id.
    let shapes = [
        ("one message each, long names", 1, 60, false),
        ("one message each", 1, 0, false),
        ("with client ids", 1, 60, true),
        ("three messages each", 3, 60, true),
        ("few conversations", 1_000, 60, false),
        ("large bodies", 1_000, 3_000, true),
    ];
    let mut wrong = Vec::new();
    for (name, per_conversation, body, has_client_id) in shapes {
        let view = view();
        let before = ALLOCATOR.current_usage();
        for n in 0..20_000_u64 {
            let place = n / per_conversation;
            let conversation = if name.ends_with("long names") {
                format!("group:a-name-that-is-quite-long-for-a-group-{place:08}")
            } else {
                format!("group:{place}")
            };
            let client_id = if has_client_id {
                format!("0123456789abcdef-{n:08}")
            } else {
                String::new()
            };
            let conversation = Conversation::parse(&conversation).unwrap();
            view.insert([row(n, conversation, body, &client_id)]);
        }
        let (taken, said) = (ALLOCATOR.current_usage() - before, view.active_bytes());
        println!("{name}: {taken} taken, {said} said");
        if taken > said + said / 10 || taken < said / 3 {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
