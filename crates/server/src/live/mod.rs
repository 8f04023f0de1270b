//! Live delivery: a device gets its messages as they come, over a WebSocket or as server-sent events.
//!
//! A protocol of our own, described in `docs/live.md`. While a device listens it is online; it is offline at once when it
//! leaves, and soon when it falls silent.

mod events;
mod frames;
mod presence;
mod socket;

use tidestore::plan::Method;

use crate::auth::Access;
use crate::routes::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::beside(
            "live_socket",
            Method::Get,
            "/live",
            Access::User,
            socket::open,
        )
        .stream(),
        Route::beside(
            "live_events",
            Method::Get,
            "/live/events",
            Access::User,
            events::open,
        )
        .stream(),
        Route::beside(
            "live_acknowledge",
            Method::Post,
            "/live/ack",
            Access::User,
            events::acknowledge,
        )
        .body::<events::Acknowledgement>()
        .data::<events::Acknowledged>(),
    ]
}
