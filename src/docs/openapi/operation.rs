//! One operation under construction.

use serde_json::{Map, Value, json};

use super::components::{header, parameter, problem, schema};

/// One operation.
pub struct Operation {
    /// The group it is shown in.
    pub tag: String,
    id: String,
    summary: String,
    description: Option<String>,
    public: bool,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
    problems: Vec<u16>,
}

/// What goes wrong everywhere.
const ALWAYS: [u16; 5] = [400, 429, 500, 503, 504];
/// What goes wrong where a token is needed.
const GUARDED: [u16; 3] = [401, 403, 404];
/// What goes wrong with bodies.
const BODY: [u16; 3] = [413, 415, 422];

impl Operation {
    /// An operation that needs a token.
    pub fn new(tag: &str, id: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            tag: tag.to_owned(),
            id: id.into(),
            summary: summary.into(),
            description: None,
            public: false,
            parameters: Vec::new(),
            body: None,
            answers: Map::new(),
            problems: [&ALWAYS[..], &GUARDED[..]].concat(),
        }
    }

    /// An operation for anybody.
    pub fn public(tag: &str, id: &str, summary: &str) -> Self {
        Self { public: true, problems: ALWAYS.to_vec(), ..Self::new(tag, id, summary) }
    }

    /// The same where no token is needed. Answers that need one are left out: other formats, and answers that are kept.
    pub fn for_anybody(mut self) -> Self {
        self.public = true;
        for name in ["Idempotency-Key", "format"] {
            let unwanted = parameter(name);
            self.parameters.retain(|parameter| *parameter != unwanted);
        }
        for answer in self.answers.values_mut() {
            if let Some(kinds) = answer["content"].as_object_mut() {
                kinds.retain(|kind, _| kind == "application/json");
            }
        }
        self
    }

    /// More than the summary says.
    pub fn about(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// A parameter that belongs to this operation only.
    pub fn with(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Parameters of the components, by name.
    pub fn shared(mut self, names: &[&str]) -> Self {
        self.parameters.extend(names.iter().map(|name| parameter(name)));
        self
    }

    /// A JSON body.
    pub fn body(self, body: Value) -> Self {
        self.content("application/json", json!({ "schema": body }))
    }

    /// Another content type of the body.
    pub fn content(mut self, kind: &str, media: Value) -> Self {
        let body = self.body.get_or_insert_with(|| json!({ "required": true, "content": {} }));
        body["content"][kind] = media;
        self.problems(&BODY)
    }

    /// The body may be left out.
    pub fn optional_body(mut self) -> Self {
        if let Some(body) = &mut self.body {
            body["required"] = false.into();
        }
        self
    }

    /// A JSON answer.
    pub fn answer(self, status: u16, description: &str, body: Value) -> Self {
        self.media(status, description, "application/json", body)
    }

    /// An answer of a content type.
    pub fn media(mut self, status: u16, description: &str, kind: &str, body: Value) -> Self {
        self = self.empty(status, description);
        self.answers[&status.to_string()]["content"][kind] = json!({ "schema": body });
        self
    }

    /// An answer without a body.
    pub fn empty(mut self, status: u16, description: &str) -> Self {
        self.answers.entry(status.to_string()).or_insert_with(
            || json!({ "description": description, "headers": { "X-Request-Id": header("X-Request-Id") } }),
        );
        self
    }

    /// Headers of an answer that was described before.
    pub fn headers(mut self, status: u16, names: &[&str]) -> Self {
        let answer = &mut self.answers[&status.to_string()];
        for name in names {
            answer["headers"][*name] = header(name);
        }
        self
    }

    /// Problems besides those that every operation has.
    pub fn problems(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    /// The operation as OpenAPI has it.
    pub fn render(mut self) -> Value {
        self.problems.sort_unstable();
        self.problems.dedup();
        for status in &self.problems {
            self.answers.entry(status.to_string()).or_insert_with(|| problem(*status));
        }
        self.answers.sort_keys();
        let mut operation = json!({ "tags": [self.tag], "operationId": self.id, "summary": self.summary });
        let optional = [
            ("description", self.description.map(Value::from)),
            ("security", self.public.then(|| json!([]))),
            ("parameters", (!self.parameters.is_empty()).then(|| self.parameters.into())),
            ("requestBody", self.body),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                operation[name] = value;
            }
        }
        operation["responses"] = self.answers.into();
        operation
    }
}

/// A parameter in the path.
pub fn in_path(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

/// The key of a row in the path.
pub fn uuid_in_path(name: &str, description: &str) -> Value {
    in_path(name, description, json!({ "type": "string", "format": "uuid" }))
}

/// A list of something in our envelope.
pub fn list_of(item: Value) -> Value {
    json!({ "allOf": [schema("List"), { "properties": { "data": { "type": "array", "items": item } } }] })
}
