//! The WebSocket.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket};
use tidestore::InboxStream;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::frames::{Ending, Said, farewell, frame};
use super::presence::{LOOK, Online};
use crate::answer::Answer;
use crate::call::Call;
use crate::refusal::{Refusal, Result};

/// What a client says is short.
const FRAME_BYTES: usize = 8 << 10;
/// A client that takes nothing for so long is given up; what it missed waits in its inbox.
const STUCK: Duration = Duration::from_secs(30);

pub(super) async fn open(mut call: Call) -> Result<Answer> {
    let upgrade = call.upgrade.take();
    let upgrade =
        upgrade.ok_or_else(|| Refusal::argument("this is for WebSockets; see /live/events"))?;
    let online = Online::begin(&call).await?;
    let stream = call
        .app
        .inbox(&online.user, &online.device)?
        .subscribe()
        .await?;
    let silence = Duration::from_secs(call.service.options.lease_seconds.max(1));
    let shutdown = call.service.shutdown.clone();
    let upgrade = upgrade
        .max_message_size(FRAME_BYTES)
        .max_frame_size(FRAME_BYTES);
    Ok(Answer::Raw(upgrade.on_upgrade(move |socket| async move {
        metrics::gauge!("tidestore_live_connections").increment(1.0);
        let live = Live {
            socket,
            online,
            stream,
            silence,
            shutdown,
        };
        live.run().await;
        metrics::gauge!("tidestore_live_connections").decrement(1.0);
    })))
}

struct Live {
    socket: WebSocket,
    online: Online,
    stream: InboxStream,
    silence: Duration,
    shutdown: CancellationToken,
}

impl Live {
    async fn run(mut self) {
        let ending = match self.talk().await {
            Ok(()) => return,
            Err(ending) => ending,
        };
        let last = farewell(ending).to_string();
        let close = CloseFrame {
            code: ending.code(),
            reason: ending.word().into(),
        };
        let bye = async {
            drop(self.socket.send(Frame::Text(last.into())).await);
            drop(self.socket.send(Frame::Close(Some(close))).await);
        };
        drop(timeout(Duration::from_secs(1), bye).await);
    }

    /// Goes on until the client leaves, or says why it ends otherwise.
    async fn talk(&mut self) -> Result<(), Ending> {
        let mut heard = Instant::now();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return Err(Ending::Stopping),
                said = self.socket.recv() => {
                    let Some(Ok(said)) = said else { return Ok(()) };
                    heard = Instant::now();
                    if !self.hear(said).await? {
                        return Ok(());
                    }
                }
                event = self.stream.next() => {
                    let event = event.map_err(|_| Ending::Failed)?;
                    let text = frame(&event, self.online.user.as_str()).to_string();
                    let sent = timeout(STUCK, self.socket.send(Frame::Text(text.into()))).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        return Ok(());
                    }
                }
                _ = look.tick() => {
                    if !self.online.is_there() {
                        let is_silent = heard.elapsed() >= self.silence;
                        return Err(if is_silent { Ending::Silent } else { Ending::Disconnected });
                    }
                }
            }
        }
    }

    /// Whether the client stays.
    async fn hear(&mut self, said: Frame) -> Result<bool, Ending> {
        let text = match said {
            Frame::Text(text) => text,
            Frame::Close(_) => return Ok(false),
            Frame::Binary(_) => return Err(Ending::Malformed),
            Frame::Ping(_) | Frame::Pong(_) => return self.online.renew().await.map(|()| true),
        };
        match serde_json::from_str(text.as_str()) {
            Ok(Said::Ack) => {
                self.stream
                    .acknowledge()
                    .await
                    .map_err(|_| Ending::Failed)?;
                let done = serde_json::json!({"type": "acked"}).to_string();
                drop(timeout(STUCK, self.socket.send(Frame::Text(done.into()))).await);
            }
            Ok(Said::Ping) => {}
            Ok(Said::Status { status, ext }) => {
                self.online
                    .show(&status, &ext)
                    .map_err(|_| Ending::Malformed)?;
            }
            Err(_) => return Err(Ending::Malformed),
        }
        self.online.renew().await.map(|()| true)
    }
}
