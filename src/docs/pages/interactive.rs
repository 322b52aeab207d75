//! The interactive page: Swagger UI over the document of whoever is authorised.

use super::assets::{SCRIPT_OF_OURS, STYLE_OF_OURS, SWAGGER_SCRIPT, SWAGGER_STYLE};
use super::html::{ICON, Tab, top};

/// Content-Security-Policy of the page: scripts and requests to this host only, none inline. Swagger UI's own style
/// holds its pictures as `data:` addresses.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub fn interactive() -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Try the API</title>\n{ICON}\n\
         <link rel=\"stylesheet\" href=\"{}\">\n<link rel=\"stylesheet\" href=\"{}\">\n\
         <script src=\"{}\" defer></script>\n<script src=\"{}\" defer></script>\n</head>\n<body>\n{}\n\
         <noscript><p class=\"noscript\">This page needs JavaScript; <a href=\"/redoc\">the reference</a> does not.</p></noscript>\n\
         <div id=\"swagger-ui\"></div>\n</body>\n</html>\n",
        SWAGGER_STYLE.path(),
        STYLE_OF_OURS.path(),
        SWAGGER_SCRIPT.path(),
        SCRIPT_OF_OURS.path(),
        top(Tab::Interactive),
    )
}
