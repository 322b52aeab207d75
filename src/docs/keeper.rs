//! Documents, kept.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::openapi::{self, Endpoint};
use super::problems::Problems;
use super::reader::Reader;
use crate::error::{Error, Result};
use crate::pack::Catalog;

/// Text of all kept documents together, in bytes.
const ROOM: u64 = 32 * 1024 * 1024;

/// A JSON document as it is sent.
#[derive(Debug)]
pub struct Document {
    /// Its text.
    pub text: String,
    /// A strong entity tag, with its quotes.
    pub etag: String,
}

impl Document {
    fn new(value: &Value) -> Result<Self> {
        let text = serde_json::to_string(value).map_err(Error::internal)?;
        let hash: String = Sha256::digest(&text).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { text, etag: format!("\"{hash}\"") })
    }

    /// The document as a value.
    pub fn value(&self) -> Result<Value> {
        serde_json::from_str(&self.text).map_err(Error::internal)
    }
}

/// Makes documents and keeps them per kind of reader; the catalogue never changes while a process lives.
pub struct Documents {
    catalog: Arc<Catalog>,
    problems: Problems,
    domain: String,
    kept: moka::future::Cache<String, Arc<Document>>,
}

impl Documents {
    /// Nothing kept yet; `domain` is where problem types are described.
    pub fn new(catalog: Arc<Catalog>, domain: &str) -> Self {
        let weight = |_: &String, document: &Arc<Document>| u32::try_from(document.text.len()).unwrap_or(u32::MAX);
        let kept = moka::future::Cache::builder().weigher(weight).max_capacity(ROOM).build();
        Self { problems: Problems::new(catalog.packs()), catalog, domain: domain.to_owned(), kept }
    }

    /// What the service's error codes mean.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// The OpenAPI document for a reader; `endpoints` is asked only when it is not kept yet.
    pub async fn openapi(
        &self,
        reader: &Reader,
        endpoints: impl FnOnce() -> Vec<Endpoint> + Send,
    ) -> Result<Arc<Document>> {
        let make = async || {
            let world = openapi::World { catalog: &self.catalog, problems: &self.problems, domain: &self.domain };
            Document::new(&openapi::document(&world, reader, &endpoints())).map(Arc::new)
        };
        self.kept.try_get_with(reader.key(), make()).await.map_err(|error| (*error).clone())
    }
}
