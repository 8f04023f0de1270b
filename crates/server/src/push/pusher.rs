//! The way of notifications: a bounded queue for those of messages, which nobody waits for, and a direct way for those that a
//! call asks for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tidestore::App;
use tidestore::plan::AppId;
use tokio::sync::mpsc;

use super::gateway::{PushGateway, PushNotice};
use super::log::LogGateway;
use super::message::SentMessage;
use super::webhook::Webhook;
use crate::options::ServerOptions;
use crate::refusal::{Refusal, Result};
use crate::service::Service;

/// Messages that are looked at together: their notifications are one record of the log.
const TOGETHER: usize = 256;

type Waiting = (App, SentMessage);

/// Hands notifications to the gateways.
#[derive(Debug)]
pub(crate) struct Pusher {
    gateways: Vec<Arc<dyn PushGateway>>,
    queue: mpsc::Sender<Waiting>,
    /// The other end, until somebody runs.
    waiting: Mutex<Option<mpsc::Receiver<Waiting>>>,
    /// Tasks to labels that run, by app.
    tasks: Arc<Mutex<HashMap<AppId, u64>>>,
}

impl Pusher {
    pub(crate) fn new(
        options: &ServerOptions,
        mut gateways: Vec<Arc<dyn PushGateway>>,
    ) -> io::Result<Self> {
        if options.push_log {
            gateways.push(Arc::new(LogGateway));
        }
        if let Some(url) = &options.push_webhook {
            let webhook = Webhook::new(url);
            let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
            gateways.push(Arc::new(webhook.map_err(invalid)?));
        }
        let (queue, waiting) = mpsc::channel(options.push_queue.max(1));
        Ok(Self {
            gateways,
            queue,
            waiting: Mutex::new(Some(waiting)),
            tasks: Arc::default(),
        })
    }

    /// A message was stored: those who want to know are told, some time soon. Never waits; what finds no room is dropped,
    /// because a notification is a courtesy and the message waits in the inbox anyway.
    pub(crate) fn message(&self, app: &App, sent: SentMessage) {
        if self.gateways.is_empty() {
            return;
        }
        if self.queue.try_send((app.clone(), sent)).is_err() {
            metrics::counter!("tidestore_push_dropped_total").increment(1);
        }
    }

    /// Hands notifications to all gateways, and says if one of them failed.
    pub(crate) async fn deliver(&self, app: &App, notices: &[PushNotice]) -> Result<(), String> {
        let mut failure = None;
        for gateway in &self.gateways {
            let name = gateway.name();
            let done = gateway.push(app, notices).await;
            let result = if done.is_ok() { "done" } else { "failed" };
            metrics::counter!("tidestore_push_total", "gateway" => name, "result" => result)
                .increment(notices.len() as u64);
            if let Err(error) = done {
                tracing::warn!(gateway = name, %error, "notifications were not taken");
                failure = Some(format!("{name}: {error}"));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Whether anybody takes notifications.
    pub(crate) fn is_idle(&self) -> bool {
        self.gateways.is_empty()
    }

    /// A place for a task to labels, of which an app has `most`; it is free again when what this answers is dropped.
    pub(crate) fn task(&self, app: AppId, most: u64) -> Result<TaskPlace> {
        let mut tasks = self.tasks.lock();
        let running = tasks.entry(app).or_default();
        if *running >= most {
            let status = axum::http::StatusCode::TOO_MANY_REQUESTS;
            let text = format!("{most} push tasks of the app run already; try again later");
            return Err(Refusal::new(status, "reach_limit", text));
        }
        *running += 1;
        let tasks = Arc::clone(&self.tasks);
        Ok(TaskPlace { tasks, app })
    }
}

/// The place of a running task.
#[derive(Debug)]
pub(crate) struct TaskPlace {
    tasks: Arc<Mutex<HashMap<AppId, u64>>>,
    app: AppId,
}

impl Drop for TaskPlace {
    fn drop(&mut self) {
        let mut tasks = self.tasks.lock();
        if let Entry::Occupied(mut running) = tasks.entry(self.app) {
            *running.get_mut() -= 1;
            if *running.get() == 0 {
                running.remove();
            }
        }
    }
}

/// Pushes what messages bring, until the service stops; what waits then is pushed still.
pub(crate) async fn run(service: Arc<Service>) {
    let Some(mut waiting) = service.pusher.waiting.lock().take() else {
        return;
    };
    let mut together = Vec::with_capacity(TOGETHER);
    loop {
        let stopped = tokio::select! {
            biased;
            taken = waiting.recv_many(&mut together, TOGETHER) => taken == 0,
            () = service.shutdown.cancelled() => true,
        };
        if stopped {
            waiting.close();
            while let Ok(one) = waiting.try_recv() {
                together.push(one);
            }
        }
        push(&service, &mut together).await;
        if stopped {
            return;
        }
    }
}

async fn push(service: &Service, together: &mut Vec<Waiting>) {
    // The log takes a thousand at a time; a message to a large group is many.
    const AT_ONCE: usize = 500;
    let mut of_app: Vec<(App, Vec<PushNotice>)> = Vec::new();
    for (app, sent) in together.drain(..) {
        let notices = match sent.notices(&app).await {
            Ok(notices) => notices,
            Err(error) => {
                tracing::debug!(%error, "nobody is told of a message");
                continue;
            }
        };
        match of_app.iter_mut().find(|(known, _)| known.id() == app.id()) {
            Some((_, all)) => all.extend(notices),
            None => of_app.push((app, notices)),
        }
    }
    for (app, notices) in &of_app {
        for some in notices.chunks(AT_ONCE) {
            // What failed is in the log and in the metrics.
            drop(service.pusher.deliver(app, some).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_counted_for_each_app_and_end_with_their_place() {
        let pusher = Pusher::new(&ServerOptions::default(), Vec::new()).unwrap();
        let (one, other) = (AppId(1), AppId(2));
        let mut running: Vec<_> = (0..3).map(|_| pusher.task(one, 3).unwrap()).collect();
        let refused = pusher.task(one, 3).unwrap_err();
        assert_eq!(
            (refused.status.as_u16(), refused.error),
            (429, "reach_limit")
        );
        let of_other = pusher.task(other, 3).unwrap();
        running.pop();
        running.push(pusher.task(one, 3).unwrap());
        assert!(pusher.task(one, 3).is_err());
        assert!(pusher.task(one, 4).is_ok());
        drop((running, of_other));
        assert!(pusher.tasks.lock().is_empty());
    }
}
