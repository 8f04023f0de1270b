//! What is pushed for a message: who it is from, and what it says to those who let their lock screen show it.

use bytes::Bytes;
use serde_json::{Value, json};
use tidestore::plan::UserId;
use tidestore::{App, Conversation, Kind, Mentions, MessageId, NotificationKind, User};

use super::gateway::PushNotice;

/// A message that was stored.
#[derive(Clone, Debug)]
pub(crate) struct SentMessage {
    pub(crate) conversation: Conversation,
    pub(crate) sender: UserId,
    pub(crate) id: MessageId,
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
    pub(crate) ext: Bytes,
}

/// Users that one notification names, as many as the log takes.
const TARGETS_MAX: usize = 100;
/// Characters of a text that are pushed: no lock screen shows more.
const TEXT_CHARS: usize = 100;
/// The template that an app may have for messages.
const TEMPLATE: &str = "default";

impl SentMessage {
    /// The notifications for all who want one.
    pub(super) async fn notices(&self, app: &App) -> tidestore::Result<Vec<PushNotice>> {
        let ext: Value = serde_json::from_slice(&self.ext).unwrap_or_default();
        let receivers = app
            .push_receivers(&self.conversation, &self.sender, mentions(&ext))
            .await?;
        if receivers.is_empty() {
            return Ok(Vec::new());
        }
        let from = self.sender_name(app).await;
        let text = self.text();
        let template = app.push().template(TEMPLATE).await.ok();
        let (showing, hiding): (Vec<User>, Vec<User>) = receivers
            .into_iter()
            .partition(|user| user.display_style == Some(1));
        let mut notices = Vec::new();
        for (users, shown) in [(showing, text.as_str()), (hiding, "you have a new message")] {
            let (title, content) = match &template {
                Some(template) => (
                    filled(&template.title_pattern, &[&from, shown]),
                    filled(&template.content_pattern, &[&from, shown]),
                ),
                None => (from.clone(), shown.to_owned()),
            };
            let content = json!({
                "title": cut(&title),
                "content": cut(&content),
                "from": self.sender.as_str(),
                "conversation": self.conversation.as_str(),
                "msg_id": self.id.to_string(),
            });
            for targets in users.chunks(TARGETS_MAX) {
                notices.push(PushNotice {
                    kind: NotificationKind::Message,
                    targets: targets
                        .iter()
                        .map(|user| user.id.as_str().to_owned())
                        .collect(),
                    content: content.clone(),
                });
            }
        }
        Ok(notices)
    }

    async fn sender_name(&self, app: &App) -> String {
        let user = app.users().get(&self.sender).await.ok();
        let nickname = user.and_then(|user| user.nickname);
        nickname.unwrap_or_else(|| self.sender.as_str().to_owned())
    }

    fn text(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        match self.kind {
            Kind::Text => body["msg"].as_str().unwrap_or_default().to_owned(),
            kind => format!("[{}]", kind.as_str()),
        }
    }
}

/// `ext.em_at_list`: `"ALL"`, or a list of users.
fn mentions(ext: &Value) -> Mentions {
    match &ext["em_at_list"] {
        Value::String(all) if all.eq_ignore_ascii_case("all") => Mentions::All,
        Value::Array(users) => {
            let named = users
                .iter()
                .filter_map(|user| UserId::parse(user.as_str()?).ok());
            Mentions::Users(named.collect())
        }
        _ => Mentions::Nobody,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS).collect()
}

/// Fills `{0}`, `{1}` and so on, in one pass: what is filled in is not looked at again.
fn filled(pattern: &str, values: &[&str]) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('{') {
        text.push_str(before);
        let place = behind.split_once('}').and_then(|(number, after)| {
            let number: usize = number.parse().ok()?;
            Some((*values.get(number)?, after))
        });
        if let Some((value, after)) = place {
            text.push_str(value);
            rest = after;
        } else {
            text.push('{');
            rest = behind;
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_filled_once() {
        assert_eq!(filled("{0}: {1}", &["ann", "{0}"]), "ann: {0}");
        assert_eq!(filled("{2} {x} { {}", &["a"]), "{2} {x} { {}");
        assert_eq!(filled("plain", &[]), "plain");
    }

    #[test]
    fn mentions_are_all_some_or_none() {
        let ann = UserId::parse("ann").unwrap();
        assert_eq!(mentions(&json!({"em_at_list": "all"})), Mentions::All);
        assert_eq!(
            mentions(&json!({"em_at_list": ["Ann", 5, "a b"]})),
            Mentions::Users(vec![ann])
        );
        assert_eq!(mentions(&json!({"em_at_list": 5})), Mentions::Nobody);
        assert_eq!(mentions(&Value::Null), Mentions::Nobody);
    }
}
