//! The description of the interface, written from the table of routes.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use tidestore::plan::{RateUnit, Scope};

use crate::auth::Access;
use crate::routes::{AnswerKind, BodyKind, Route, Table};

/// Describes all routes as `OpenAPI` 3.1.
pub(crate) fn describe(table: &Table) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for route in &table.routes {
        for (number, (method, path)) in route.forms().enumerate() {
            let mut described = operation(route, path, &mut schemas);
            if number > 0 {
                described["operationId"] = format!("{}_{}", route.operation, number + 1).into();
            }
            let of_path = paths
                .entry(format!("/{{org_name}}/{{app_name}}{path}"))
                .or_insert_with(|| json!({}));
            of_path[method.as_str().to_lowercase()] = described;
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidestore",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Storage for instant messaging, with the calls, limits and rates of a hosted service's plans.",
        },
        "paths": paths,
        "components": {
            "schemas": components(&mut schemas),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn components(schemas: &mut SchemaGenerator) -> Value {
    let mut all = schemas.take_definitions(true);
    all.insert(
        "Refusal".into(),
        json!({
            "type": "object",
            "required": ["error", "error_description", "exception", "timestamp", "duration"],
            "properties": {
                "error": {"type": "string"},
                "error_description": {"type": "string"},
                "exception": {"type": "string"},
                "timestamp": {"type": "integer"},
                "duration": {"type": "integer"},
            },
        }),
    );
    all.insert("Envelope".into(), json!({
        "type": "object",
        "required": [
            "action", "application", "applicationName", "organization", "uri", "path", "entities",
            "timestamp", "duration",
        ],
        "properties": {
            "action": {"type": "string"},
            "application": {"type": "string", "format": "uuid"},
            "applicationName": {"type": "string"},
            "organization": {"type": "string"},
            "uri": {"type": "string"},
            "path": {"type": "string"},
            "entities": {"type": "array"},
            "data": {},
            "count": {"type": "integer"},
            "cursor": {"type": "string"},
            "properties": {"type": "object"},
            "params": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": "string"}},
            },
            "timestamp": {"type": "integer"},
            "duration": {"type": "integer"},
        },
    }));
    all.into()
}

fn operation(route: &Route, path: &str, schemas: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": route.operation,
        "description": description(route),
        "parameters": parameters(route, path, schemas),
        "responses": responses(route, schemas),
    });
    if let Some((kind, body)) = route.body {
        let kind = match kind {
            BodyKind::Json => "application/json",
            BodyKind::Form => "application/x-www-form-urlencoded",
            BodyKind::Multipart => "multipart/form-data",
        };
        operation["requestBody"] = json!({"content": {kind: {"schema": body(schemas)}}});
    }
    if route.access != Access::Open {
        operation["security"] = json!([{"token": []}]);
    }
    operation["x-access"] = json!(route.access);
    if let Some(rate) = route.rates().next() {
        operation["tags"] = json!([format!("{:?}", rate.module)]);
    }
    operation
}

fn description(route: &Route) -> String {
    let mut lines = Vec::new();
    for rate in route.rates() {
        let quotas = [Some(rate.limit), rate.second]
            .into_iter()
            .flatten()
            .map(|quota| {
                let unit = match rate.unit {
                    RateUnit::Calls => "calls",
                    RateUnit::Messages => "messages",
                };
                let scope = match quota.scope {
                    Scope::App => "app",
                    Scope::User => "user",
                    Scope::Ip => "address",
                };
                format!(
                    "{} {unit} in {} s for one {scope}",
                    quota.count, quota.period_secs
                )
            });
        let quotas: Vec<String> = quotas.collect();
        lines.push(format!(
            "Row {}: {}; {}.",
            rate.row,
            rate.operation,
            quotas.join(" and ")
        ));
    }
    lines.join("\n")
}

fn parameters(route: &Route, path: &str, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let mut parameters = Vec::new();
    let of_path = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    for name in ["org_name", "app_name"].into_iter().chain(of_path) {
        parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1},
        }));
    }
    let Some(query) = route.query else {
        return parameters;
    };
    // A schema of its own is needed here: parameters are listed one by one.
    let schema = query(schemas);
    let schema = resolve(&schema.to_value(), schemas);
    let empty = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&empty);
    for (name, schema) in fields {
        parameters.push(json!({"name": name, "in": "query", "required": false, "schema": schema}));
    }
    parameters
}

/// What a reference refers to.
fn resolve(schema: &Value, schemas: &SchemaGenerator) -> Value {
    let name = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next());
    let found = name.and_then(|name| schemas.definitions().get(name));
    found.cloned().unwrap_or_else(|| schema.clone())
}

fn responses(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let envelope = json!({"$ref": "#/components/schemas/Envelope"});
    let with = |name: &str, schema: Value| {
        json!({"allOf": [
            envelope.clone(),
            {"type": "object", "required": [name], "properties": {name: schema}},
        ]})
    };
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    let done = match route.answer {
        AnswerKind::Envelope => json_of(envelope.clone()),
        AnswerKind::Entities(of) => json_of(with(
            "entities",
            json!({"type": "array", "items": of(schemas)}),
        )),
        AnswerKind::Data(of) => json_of(with("data", of(schemas).to_value())),
        AnswerKind::Bare(of) => json_of(of(schemas).to_value()),
        AnswerKind::Bytes => json!({"*/*": {"schema": {"type": "string", "format": "binary"}}}),
        AnswerKind::Stream => json!({"*/*": {"schema": {}}}),
    };
    let refused = json!({
        "description": "refused",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
    });
    let mut responses = json!({"200": {"description": "done", "content": done}});
    for status in [
        "400", "401", "403", "404", "405", "408", "413", "414", "415", "429", "503",
    ] {
        responses[status] = refused.clone();
    }
    responses
}
