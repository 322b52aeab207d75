//! Every code that the service itself can send. A code never changes its meaning, and a retired one is not used again.

/// A problem's code: the last part of its `type`.
#[derive(Debug)]
pub struct Problem {
    /// Stable code.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What happened.
    pub meaning: &'static str,
    /// What the caller can do.
    pub remedy: &'static str,
    /// A `detail` as it is sent.
    pub example: &'static str,
}

/// A code inside `errors`.
#[derive(Debug)]
pub struct Fault {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong with the field or parameter.
    pub meaning: &'static str,
}

const fn problem(
    status: u16,
    code: &'static str,
    meaning: &'static str,
    remedy: &'static str,
    example: &'static str,
) -> Problem {
    Problem { code, status, meaning, remedy, example }
}

/// Problems, by status.
pub const PROBLEMS: &[Problem] = &[
    problem(
        400,
        "bad_request",
        "The request cannot be understood: the JSON is malformed, a query parameter is unknown or has a value that does not fit, or a condition that bulk changes need is missing.",
        "Read `detail`, `hint` and `errors`, where each entry names the query parameter or header at fault. The same request will fail again.",
        "The query is not valid.",
    ),
    problem(
        401,
        "unauthenticated",
        "There is no access token, or it is not accepted: it is malformed, has expired, belongs to another service, or its session has ended.",
        "Sign in with `POST /api/v1/auth/login` and send `Authorization: Bearer <access_token>`.",
        "The access token is missing, invalid or expired.",
    ),
    problem(
        401,
        "invalid_credentials",
        "E-mail address and password do not belong together. An unknown address and a disabled user read the same.",
        "Check both. After many failures sign-in pauses for a while.",
        "The e-mail address or the password is wrong.",
    ),
    problem(
        401,
        "second_factor_required",
        "The password is right, and the account has a second factor.",
        "Send the same request with a `code`: six digits of the authenticator, or a recovery code.",
        "A code of the second factor is needed too.",
    ),
    problem(
        401,
        "invalid_second_factor",
        "The code does not belong to this moment, was used before, or is no recovery code that is left.",
        "Wait for the next code of the authenticator. After many failures sign-in pauses for a while.",
        "The code is wrong, or was used already.",
    ),
    problem(
        401,
        "invalid_refresh_token",
        "The refresh token was used before, has expired, or never was one.",
        "Sign in again. If you did not use it twice, somebody else had it: all tokens of that session are void now.",
        "The refresh token is used, expired or unknown.",
    ),
    problem(
        401,
        "invalid_link",
        "The link of a letter was used before, has expired, or a newer one was sent.",
        "Use the newest letter, or ask for another: `POST /api/v1/auth/forgot-password`, or who invited you.",
        "The link is used, expired or unknown.",
    ),
    problem(
        403,
        "forbidden",
        "You are signed in, and your roles do not allow this.",
        "`hint` names the permission that is needed; an administrator of your account can grant it to one of your roles.",
        "Your role does not allow this.",
    ),
    problem(
        403,
        "second_factor_setup_required",
        "Your account wants a second factor of everybody, and you have none yet. Until then you can set it up and sign out.",
        "`POST /api/v1/me/totp` begins, `POST /api/v1/me/totp/confirm` ends it; then everything answers again.",
        "Your account needs a second factor. Please set it up first.",
    ),
    problem(
        403,
        "module_not_enabled",
        "The request is about a module that your account does not have, or no longer has.",
        "Add the module to your subscription. Access is given the moment it is paid; nothing has to be restarted.",
        "Module 'finance' is not enabled for your account. Please upgrade your subscription.",
    ),
    problem(
        403,
        "not_for_api_keys",
        "The request is about a person's own credentials or sessions, and an API key sent it.",
        "Sign in with `POST /api/v1/auth/login` and send the access token instead.",
        "An API key cannot do this; it needs a signed-in user.",
    ),
    problem(
        403,
        "not_while_impersonating",
        "An operator of the platform works as this user. He may not change credentials, sessions, API keys, roles, or who has which.",
        "The user himself, or an administrator of the account, has to do it.",
        "An operator who works as a user cannot do this.",
    ),
    problem(
        403,
        "tenant_mismatch",
        "Host, `X-Tenant-ID` or `X-Tenant-Subdomain`, and the token name different accounts. All that are present must agree.",
        "Use the address of the account that the token was issued for, and leave the headers out.",
        "The host, the headers and the token do not name the same account.",
    ),
    problem(
        403,
        "tenant_suspended",
        "The account is suspended. Its data is kept.",
        "An owner of the account should contact our staff.",
        "This account is suspended.",
    ),
    problem(
        404,
        "not_found",
        "There is nothing under this address, or nothing that you may see: both read the same on purpose.",
        "Check the address; `GET /api/v1` lists what you may use. `hint` has the nearest name when it looks like a slip.",
        "There is nothing here under this address.",
    ),
    problem(
        404,
        "tenant_not_found",
        "No account has this name.",
        "Use the account's own address, or name the account with `X-Tenant-Subdomain` or `X-Tenant-ID`.",
        "There is no account under this address.",
    ),
    problem(
        405,
        "method_not_allowed",
        "The address exists, the method does not: for example the resource is read-only.",
        "The `Allow` header, and the document for your role at `/openapi.json`, name the methods that there are.",
        "This method does not exist here.",
    ),
    problem(
        406,
        "not_acceptable",
        "The answer exists, but in none of the forms that the `Accept` header takes.",
        "Accept `application/json`; lists and reports also come as `text/csv`, `application/x-ndjson` and workbooks.",
        "None of the accepted media types is offered here.",
    ),
    problem(
        409,
        "conflict",
        "The request contradicts what is stored: a value is used already, another record needs this one, or somebody else changed it at the same moment.",
        "`errors` names the fields. When there is a `Retry-After` header, the same request may succeed after it.",
        "email is already used.",
    ),
    problem(
        409,
        "second_factor_on",
        "You have a second factor already.",
        "Take it off first, with your password and a code: `DELETE /api/v1/me/totp`.",
        "The second factor is on already.",
    ),
    problem(
        409,
        "second_factor_off",
        "You have no second factor.",
        "Set one up with `POST /api/v1/me/totp`.",
        "The second factor is off.",
    ),
    problem(
        409,
        "second_factor_not_begun",
        "There is no second factor to confirm.",
        "Begin with `POST /api/v1/me/totp`.",
        "No second factor is being set up.",
    ),
    problem(
        409,
        "idempotency_in_progress",
        "A request with the same `Idempotency-Key` is still running.",
        "Send it again after `Retry-After` seconds: it will get the answer of the first one.",
        "A request with this Idempotency-Key is still running.",
    ),
    problem(
        409,
        "interrupted",
        "An operation stood still for too long, for example because the service was restarted. Nothing of it was done.",
        "Send the request again, with another Idempotency-Key.",
        "The operation was interrupted.",
    ),
    problem(
        409,
        "mail_not_configured",
        "Nobody can be invited and no password be replaced by a letter, because this installation sends none.",
        "Whoever runs it sets `mail.url`; until then `insula tenant password` gives a user another password.",
        "This service is not set up to send mail.",
    ),
    problem(
        412,
        "precondition_failed",
        "The record has changed since you read it, or is there although it must not be, or the other way round.",
        "`current` has the record as it is now. Look at the change, then send yours with the new `ETag`.",
        "The record has changed in the meantime.",
    ),
    problem(
        413,
        "payload_too_large",
        "The body is larger than allowed.",
        "Send less at once, for example several smaller bulk requests.",
        "The body may have at most 1048576 bytes.",
    ),
    problem(
        413,
        "too_many_rows",
        "One request makes at most 100,000 records.",
        "Send them in several requests.",
        "A request may hold at most 100000 rows.",
    ),
    problem(
        415,
        "unsupported_media_type",
        "The body has a content type that is not read here.",
        "Send `Content-Type: application/json`.",
        "The body must be JSON.",
    ),
    problem(
        422,
        "validation_failed",
        "The request is understood, and some of its values are refused.",
        "`errors` names every field at fault at once, with a JSON pointer, a stable code and a sentence for people.",
        "2 fields need attention.",
    ),
    problem(
        422,
        "idempotency_key_reused",
        "The same `Idempotency-Key` came before with another body.",
        "Make a new key for every new request, for example a random UUID.",
        "This Idempotency-Key was used for another request.",
    ),
    problem(
        422,
        "max_affected_exceeded",
        "The conditions fit more records than `Prefer: max-affected` allows. Nothing was changed.",
        "Narrow the conditions, or raise the number.",
        "More records fit than may be affected.",
    ),
    problem(
        428,
        "precondition_required",
        "Changes of this resource must say which version they are about.",
        "Read the record and send its `ETag` as `If-Match`.",
        "The request must say which version it is about.",
    ),
    problem(
        429,
        "too_many_requests",
        "There were more requests, or more wrong passwords and codes, than allowed.",
        "Wait as long as `Retry-After` says. Keep an eye on the `RateLimit` header to stay below.",
        "Too many requests of this account at once.",
    ),
    problem(
        500,
        "internal",
        "A fault of ours. It has been logged under the request id.",
        "Tell us the `request_id`. A request that changes something may be sent again with the same `Idempotency-Key`.",
        "Something went wrong on our side.",
    ),
    problem(
        503,
        "unavailable",
        "Something we depend on does not answer right now.",
        "Send the same request again after `Retry-After` seconds.",
        "The database does not answer. Please try again.",
    ),
    problem(
        503,
        "module_updating",
        "The tables of the module are older than the service and are being migrated; other modules answer.",
        "Send the same request again after `Retry-After` seconds.",
        "Module 'crm' is being brought up to date for your account. Please try again in a moment.",
    ),
    problem(
        504,
        "timeout",
        "The work took longer than allowed and was stopped. Nothing of it has been kept.",
        "Ask for less: filter on fewer rows, lower `limit`, export in parts.",
        "This took too long and was stopped.",
    ),
    // From the helpers that all packs share.
    problem(
        422,
        "embed_too_large",
        "A row has more embedded rows than one answer holds.",
        "Ask for fewer with `relation.limit=`, filter them, or list them by themselves.",
        "An embedded list has more than 1000 rows. Limit or filter it, or list it by itself.",
    ),
    problem(
        403,
        "action_only",
        "This field or record changes only through an action.",
        "Use the action: `POST /api/v1/{resource}/{id}/actions/{action}`.",
        "state changes only through an action.",
    ),
    problem(
        409,
        "append_only",
        "Entries of a history are never changed or removed.",
        "Write a new entry that corrects the old one.",
        "Entries of this history are never changed or removed.",
    ),
    problem(
        409,
        "frozen",
        "In its present state the record can no longer be changed.",
        "Take the record back to an earlier state with an action, if there is one.",
        "A record that is approved cannot be changed.",
    ),
    problem(
        409,
        "parent_frozen",
        "The record belongs to one that can no longer be changed.",
        "Take that record back to an earlier state first, if there is an action for it.",
        "The lines cannot be changed once the document is approved.",
    ),
    problem(
        409,
        "refused",
        "A rule of a module refuses this.",
        "Read `detail`: it says which.",
        "This is not possible now.",
    ),
    problem(
        409,
        "subdomain_reserved",
        "The subdomain is reserved, or was in use until lately.",
        "Choose another.",
        "This subdomain is reserved.",
    ),
];

/// The `title` of problems, by status.
pub const TITLES: [(u16, &str); 16] = [
    (400, "Your request cannot be understood."),
    (401, "You are not signed in."),
    (403, "You may not do this."),
    (404, "Not found."),
    (405, "This method is not allowed here."),
    (406, "This form is not offered here."),
    (409, "This conflicts with the present state."),
    (412, "This has changed in the meantime."),
    (413, "Your request is too large."),
    (415, "This content type is not read here."),
    (422, "Your request is not valid."),
    (428, "Your request must say which version it is about."),
    (429, "Too many requests."),
    (500, "Something went wrong on our side."),
    (503, "The service is not available right now."),
    (504, "This took too long."),
];

const fn fault(code: &'static str, meaning: &'static str) -> Fault {
    Fault { code, meaning }
}

/// Codes inside `errors`, by name.
pub const FAULTS: &[Fault] = &[
    fault("already_used", "another record has this value"),
    fault("ambiguous_embed", "the rows can be embedded in several ways; name one with `!`"),
    fault("duplicate_field", "the field is given twice"),
    fault("invalid_cursor", "the cursor belongs to another query, or is none"),
    fault("invalid_format", "the value does not have the form it must have"),
    fault("invalid_length", "the list has too few or too many entries"),
    fault("invalid_parameter", "the query parameter is malformed or outside its range"),
    fault("invalid_type", "the value has another JSON type than the field"),
    fault("invalid_value", "the value is refused by a rule"),
    fault("module_dependency", "the module needs another, or another needs it"),
    fault("not_filterable", "the column cannot be filtered or sorted by"),
    fault("read_only", "the field cannot be set"),
    fault("required", "the field is missing, or null where null is not allowed"),
    fault("too_common", "the password is among the first that anybody would try"),
    fault("too_large", "the number is outside its range"),
    fault("too_long", "the text is longer than allowed"),
    fault("too_obvious", "the password is hardly more than a name that everybody knows"),
    fault("too_short", "the text is shorter than allowed"),
    fault("unknown_column", "there is no such column"),
    fault("unknown_embed", "there is no such relation to embed"),
    fault("unknown_field", "there is no such field"),
    fault("unknown_parameter", "there is no such query parameter here"),
    fault("unknown_permission", "no module has such a permission"),
    fault("unknown_plan", "there is no such plan"),
    fault("unknown_preference", "the preference is not known or cannot be honoured here"),
    fault("unknown_reference", "the value does not name an existing record"),
    fault("unknown_scope", "nothing can be seen that far, or no module asks whose rows these are"),
    fault("wrong_code", "the code of the second factor does not belong to this moment, or was used already"),
    fault("wrong_password", "the password is not the present one"),
];
