//! What sixteen uploads at once hold in memory. A test of its own, because it measures its whole process.

use tidestore::plan::{Plan, Terms};
use tidestore::{NewAttachment, Options, Store};
use tidestore_tests::{key, user};

/// Bytes that do not compress, made when they are asked for.
struct Noise {
    state: u64,
    left: usize,
}

impl tokio::io::AsyncRead for Noise {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let mut piece = [0; 8_192];
        for word in piece.chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            word.copy_from_slice(&self.state.to_le_bytes());
        }
        let len = piece.len().min(self.left).min(buf.remaining());
        buf.put_slice(&piece[..len]);
        self.left -= len;
        std::task::Poll::Ready(Ok(()))
    }
}

/// A figure of `/proc/self/status`, in bytes.
#[expect(clippy::disallowed_methods, reason = "asks about the process itself")]
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_uploads_of_10_mb_at_once_stay_under_64_mb() {
    const LEN: usize = 10 << 20;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("data"), Options::default())
        .await
        .unwrap();
    let app = store
        .create_app(&key("acme#chat"), Terms::of(Plan::Free))
        .await
        .unwrap();
    let idle = status("VmRSS");
    let uploads: Vec<_> = (1..=16)
        .map(|seed| {
            let app = app.clone();
            tokio::spawn(async move {
                let new = NewAttachment::new(user("ann"), "video");
                let noise = Noise {
                    state: seed,
                    left: LEN,
                };
                app.put_attachment(new, noise).await.unwrap()
            })
        })
        .collect();
    for upload in uploads {
        assert_eq!(upload.await.unwrap().length, LEN as u64);
    }
    let above_idle = status("VmHWM").saturating_sub(idle);
    println!("peak above idle: {} KiB", above_idle >> 10);
    assert!(above_idle < 64 << 20, "{above_idle} bytes above idle");
    assert_eq!(app.attachment_usage().await.unwrap().total.attachments, 16);
}
