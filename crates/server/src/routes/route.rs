//! One route: where a call goes, what it may cost, who may make it, and what it looks like.

use std::pin::Pin;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use tidestore::plan::{Method, Rate, rate};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::Call;
use crate::refusal::Result;

type Handled = Pin<Box<dyn Future<Output = Result<Answer>> + Send>>;
type Handler = Box<dyn Fn(Call) -> Handled + Send + Sync>;
/// Writes the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A call of the interface.
pub(crate) struct Route {
    /// Our name of it.
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    /// Without the base path of the app.
    pub(crate) path: &'static str,
    /// Other forms that clients use.
    pub(crate) aliases: Vec<(Method, &'static str)>,
    /// The rows of the limits page that it answers; none for what is not on the page.
    pub(crate) rows: Vec<u8>,
    pub(crate) charge: Charge,
    pub(crate) access: Access,
    pub(crate) query: Option<SchemaOf>,
    pub(crate) body: Option<(BodyKind, SchemaOf)>,
    pub(crate) answer: AnswerKind,
    handler: Handler,
}

/// When a call is counted, and on which of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// Before anything is read, on the first row.
    First,
    /// On the second row if this part of the path is a list.
    List(&'static str),
    /// By the handler, which has to read the body first.
    Handler,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Json,
    Form,
    Multipart,
}

/// What an answer is.
#[derive(Clone, Copy)]
pub(crate) enum AnswerKind {
    /// The envelope alone.
    Envelope,
    /// The envelope with entities of this kind.
    Entities(SchemaOf),
    /// The envelope with such data.
    Data(SchemaOf),
    /// These fields without an envelope.
    Bare(SchemaOf),
    /// Bytes.
    Bytes,
    /// A connection that goes on, described elsewhere.
    Stream,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Route {
    /// The call of a row of the limits page.
    pub(crate) fn new<F>(row: u8, access: Access, handler: fn(Call) -> F) -> Self
    where
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        // A row that is not there makes a route that nobody finds, which the test of the table notices.
        let (operation, (method, path)) = match rate(row) {
            Some(rate) => (rate.operation, rate.route()),
            None => ("", (Method::Get, "")),
        };
        Self {
            rows: vec![row],
            ..Self::beside(operation, method, path, access, handler)
        }
    }

    /// A call that is not on the limits page.
    pub(crate) fn beside<F>(
        operation: &'static str,
        method: Method,
        path: &'static str,
        access: Access,
        handler: fn(Call) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        Self {
            operation,
            method,
            path,
            aliases: Vec::new(),
            rows: Vec::new(),
            charge: Charge::First,
            access,
            query: None,
            body: None,
            answer: AnswerKind::Envelope,
            handler: Box::new(move |call| Box::pin(handler(call))),
        }
    }

    /// Another row with the same method and path.
    pub(crate) fn and(mut self, row: u8) -> Self {
        self.rows.push(row);
        self
    }

    /// Another form that clients use.
    pub(crate) fn also(mut self, method: Method, path: &'static str) -> Self {
        self.aliases.push((method, path));
        self
    }

    pub(crate) fn charged(mut self, charge: Charge) -> Self {
        self.charge = charge;
        self
    }

    pub(crate) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(schema_of::<T>);
        self
    }

    pub(crate) fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some((BodyKind::Json, schema_of::<T>));
        self
    }

    pub(crate) fn form<T: JsonSchema>(mut self) -> Self {
        self.body = Some((BodyKind::Form, schema_of::<T>));
        self
    }

    pub(crate) fn multipart<T: JsonSchema>(mut self) -> Self {
        self.body = Some((BodyKind::Multipart, schema_of::<T>));
        self
    }

    pub(crate) fn entities<T: JsonSchema>(mut self) -> Self {
        self.answer = AnswerKind::Entities(schema_of::<T>);
        self
    }

    pub(crate) fn data<T: JsonSchema>(mut self) -> Self {
        self.answer = AnswerKind::Data(schema_of::<T>);
        self
    }

    pub(crate) fn bare<T: JsonSchema>(mut self) -> Self {
        self.answer = AnswerKind::Bare(schema_of::<T>);
        self
    }

    pub(crate) fn bytes(mut self) -> Self {
        self.answer = AnswerKind::Bytes;
        self
    }

    pub(crate) fn stream(mut self) -> Self {
        self.answer = AnswerKind::Stream;
        self
    }

    /// The rates of its rows.
    pub(crate) fn rates(&self) -> impl Iterator<Item = &'static Rate> {
        self.rows.iter().filter_map(|row| rate(*row))
    }

    /// Method and path, and all other forms.
    pub(crate) fn forms(&self) -> impl Iterator<Item = (Method, &'static str)> {
        [(self.method, self.path)]
            .into_iter()
            .chain(self.aliases.iter().copied())
    }

    pub(crate) async fn call(&self, call: Call) -> Result<Answer> {
        (self.handler)(call).await
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("operation", &self.operation)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}
