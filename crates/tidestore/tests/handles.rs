//! Handles are what a server needs them to be.

use tidestore::{App, Error, Message, NewMessage, Options, Page, Store};

fn is_shared<T: Send + Sync + Clone + 'static>() {}

#[test]
fn handles_and_values_can_be_cloned_and_sent_between_threads() {
    is_shared::<Store>();
    is_shared::<App>();
    is_shared::<Error>();
    is_shared::<Message>();
    is_shared::<NewMessage>();
    is_shared::<Options>();
    is_shared::<Page>();
}
