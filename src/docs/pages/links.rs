//! Where the links of letters lead.

use std::sync::LazyLock;

use super::html::{self, frame, hash};

const SCRIPT: &str = include_str!("links.js");

/// Content-Security-Policy of these pages: their own style and script, which asks nobody but us.
pub static POLICY: LazyLock<String> =
    LazyLock::new(|| format!("{}; script-src 'sha256-{}'; connect-src 'self'", *html::POLICY, hash(SCRIPT)));

/// What is different about each of the pages.
struct Page {
    title: &'static str,
    lead: &'static str,
    field: &'static str,
    button: &'static str,
    token: bool,
    done: &'static str,
}

const PASSWORD: &str = "<label>Password, at least 8 characters\
     <input type=\"password\" name=\"password\" autocomplete=\"new-password\" minlength=\"8\" required autofocus></label>";
/// Shown to who turns out to have a second factor.
const NEW_PASSWORD: &str = "<label>Password, at least 8 characters\
     <input type=\"password\" name=\"password\" autocomplete=\"new-password\" minlength=\"8\" required autofocus></label>\
     <label hidden>Code of your authenticator, or a recovery code\
     <input name=\"code\" autocomplete=\"one-time-code\" maxlength=\"40\"></label>";
const EMAIL: &str = "<label>E-mail address\
     <input type=\"email\" name=\"email\" autocomplete=\"username\" required autofocus></label>";

/// The page of the last part of a path under `/api/v1/auth/`, if it has one.
pub fn link(path: &str) -> Option<String> {
    let page = match path {
        "accept" => Page {
            title: "Welcome",
            lead: "You were invited. Choose a password, and you are in.",
            field: PASSWORD,
            button: "Come in",
            token: true,
            done: "You are in. From now on sign in with your e-mail address and this password.",
        },
        "reset-password" => Page {
            title: "Another password",
            lead: "Choose another password. Wherever you are signed in, you will be signed out.",
            field: NEW_PASSWORD,
            button: "Change it",
            token: true,
            done: "Changed. From now on sign in with this password.",
        },
        "forgot-password" => Page {
            title: "Forgotten password",
            lead: "We send you a letter with a link to choose another one.",
            field: EMAIL,
            button: "Send it",
            token: false,
            done: "If there is such an account, a letter is on its way to it.",
        },
        _ => return None,
    };
    let Page { title, lead, field, button, token, done } = page;
    let token = if token { " data-token=\"yes\"" } else { "" };
    let top = "<header class=\"top\"><span class=\"brand\">Insula</span></header>";
    let body = format!(
        "<main>\n<h1>{title}</h1>\n<p class=\"lead\">{lead}</p>\n<div class=\"form\">\n\
         <form data-path=\"{path}\" data-done=\"{done}\"{token}>\n{field}\n<button>{button}</button>\n</form>\n\
         <p role=\"status\"></p>\n<noscript><p>This page needs JavaScript.</p></noscript>\n</div>\n</main>\n<script>{SCRIPT}</script>"
    );
    Some(frame(top, title, &body))
}
