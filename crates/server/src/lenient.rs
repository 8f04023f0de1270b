//! Fields as real clients send them: numbers as text, empty text and `null` for what is absent.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A whole number, or text that is one; `None` for `null`, empty text and nothing at all.
pub(crate) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Ok(Some(number)),
            // Scripting languages write 5.0 for 5.
            (None, Some(number)) if number.fract() == 0.0 && number.abs() < 9e15 =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
                Ok(Some(number as i64))
            }
            _ => Err(D::Error::custom(format!(
                "{number} is no whole number in range"
            ))),
        },
        Value::String(text) if is_absent(&text) => Ok(None),
        Value::String(text) => match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(D::Error::custom(format!("{text:?} is no whole number"))),
        },
        _ => Err(D::Error::custom("a number is expected")),
    }
}

/// Text, or a number as text; `None` for `null`, empty text and nothing at all.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(kept_text(from)?.filter(|text| !text.is_empty()))
}

/// The same where empty text means something.
pub(crate) fn kept_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(D::Error::custom("text is expected")),
    }
}

/// A truth value, also as text, as 0 or as 1; `None` for `null`, empty text and nothing at all.
pub(crate) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(flag)),
        Value::Number(number) if number.as_i64() == Some(0) => Ok(Some(false)),
        Value::Number(number) if number.as_i64() == Some(1) => Ok(Some(true)),
        Value::String(text) if is_absent(&text) => Ok(None),
        Value::String(text) => match text.as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(D::Error::custom(format!(
                "{text:?} is neither true nor false"
            ))),
        },
        _ => Err(D::Error::custom("true or false is expected")),
    }
}

/// A list of names, which may come as numbers; `None` for `null` and nothing at all.
pub(crate) fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    let list = match Value::deserialize(from)? {
        Value::Null => return Ok(None),
        Value::Array(list) => list,
        _ => return Err(D::Error::custom("a list of names is expected")),
    };
    let name = |value| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(D::Error::custom("a list of names holds something else")),
    };
    list.into_iter()
        .map(name)
        .collect::<Result<_, _>>()
        .map(Some)
}

/// What clients send in a query for nothing: an empty value, or the word that their language prints.
pub(crate) fn is_absent(text: &str) -> bool {
    matches!(text, "" | "undefined" | "null")
}

/// A body that is one object, or a list of them.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let one = |value: Value| match value {
            Value::Object(_) => T::deserialize(value).map_err(D::Error::custom),
            // A list would pass for an object whose fields stand in their order.
            _ => Err(D::Error::custom("an object is expected")),
        };
        match Value::deserialize(from)? {
            Value::Array(all) => Ok(Self::Many(
                all.into_iter().map(one).collect::<Result<_, _>>()?,
            )),
            value => Ok(Self::One(one(value)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Fields {
        #[serde(deserialize_with = "number")]
        number: Option<i64>,
        #[serde(deserialize_with = "text")]
        text: Option<String>,
        #[serde(deserialize_with = "flag")]
        flag: Option<bool>,
        #[serde(deserialize_with = "names")]
        names: Option<Vec<String>>,
    }

    #[test]
    fn what_clients_send_for_nothing_is_nothing() {
        for nothing in [
            "{}",
            r#"{"number":null,"text":null,"flag":null,"names":null}"#,
            r#"{"number":"","text":"","flag":""}"#,
            r#"{"number":"undefined","flag":"null"}"#,
        ] {
            let fields: Fields = serde_json::from_str(nothing).unwrap();
            assert_eq!(fields, Fields::default(), "{nothing}");
        }
    }

    #[test]
    fn numbers_and_flags_may_come_as_text_and_text_as_numbers() {
        let sent = r#"{"number":"-1","text":5,"flag":"1","names":["a",7]}"#;
        let fields: Fields = serde_json::from_str(sent).unwrap();
        let expected = Fields {
            number: Some(-1),
            text: Some("5".into()),
            flag: Some(true),
            names: Some(vec!["a".into(), "7".into()]),
        };
        assert_eq!(fields, expected);
        let sent: Fields = serde_json::from_str(r#"{"number":5.0,"flag":0}"#).unwrap();
        assert_eq!((sent.number, sent.flag), (Some(5), Some(false)));
    }

    #[test]
    fn other_types_are_refused() {
        for wrong in [
            r#"{"number":true}"#,
            r#"{"number":1.5}"#,
            r#"{"number":1e300}"#,
            r#"{"number":"x"}"#,
            r#"{"text":[]}"#,
            r#"{"flag":2}"#,
            r#"{"names":"a"}"#,
            r#"{"names":[{}]}"#,
        ] {
            assert!(serde_json::from_str::<Fields>(wrong).is_err(), "{wrong}");
        }
    }
}
