//! Files of the interactive page, inside the binary. A name carries the hash of the content, so it may be kept for ever.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file.
pub struct Asset {
    /// The last part of its path: hash and name.
    pub name: String,
    /// Its content type.
    pub kind: &'static str,
    /// Whether the bytes are compressed by gzip.
    pub gzip: bool,
    /// The content.
    pub bytes: &'static [u8],
}

impl Asset {
    fn new(name: &str, kind: &'static str, gzip: bool, bytes: &'static [u8]) -> Self {
        let hash: String = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("{hash}.{name}"), kind, gzip, bytes }
    }

    /// Where it is served.
    pub fn path(&self) -> String {
        format!("/docs/{}", self.name)
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Swagger UI's script.
pub static SWAGGER_SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "swagger-ui-bundle.js",
        SCRIPT,
        true,
        include_bytes!("../../../assets/swagger-ui/swagger-ui-bundle.js.gz"),
    )
});

/// Swagger UI's style.
pub static SWAGGER_STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("swagger-ui.css", STYLE, true, include_bytes!("../../../assets/swagger-ui/swagger-ui.css.gz"))
});

/// Our script: it starts Swagger UI.
pub static SCRIPT_OF_OURS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("interactive.js", SCRIPT, false, include_bytes!("interactive.js")));

/// Our style, upon that of Swagger UI.
pub static STYLE_OF_OURS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("interactive.css", STYLE, false, include_bytes!("interactive.css")));

/// A file by the last part of its path.
pub fn find(name: &str) -> Option<&'static Asset> {
    let all: [&'static Asset; 4] = [&SWAGGER_SCRIPT, &SWAGGER_STYLE, &SCRIPT_OF_OURS, &STYLE_OF_OURS];
    all.into_iter().find(|asset| asset.name == name)
}
