//! Where a page ended, sealed: a caller can neither read nor make one, nor use it for another query.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::parse::ListRequest;
use crate::db::seal::SealingKey;
use crate::error::{Error, Result};
use crate::ident::Ident;

/// Longer cursors do not fit into a URL everywhere.
const MAX_BYTES: usize = 2048;

/// The sort values of a page's last row, null where there is none.
pub type Position = Vec<Option<String>>;

/// A cursor for the page behind `position`; none when the sort values are too long for one.
pub fn seal(
    key: &SealingKey,
    tenant: Uuid,
    relation: &Ident,
    request: &ListRequest,
    position: &Position,
) -> Result<Option<String>> {
    let json = serde_json::to_vec(position).map_err(Error::internal)?;
    if json.len() > MAX_BYTES {
        return Ok(None);
    }
    let sealed = key.seal(&json, &purpose(tenant, relation, request))?;
    Ok(Some(URL_SAFE_NO_PAD.encode(sealed)))
}

/// The position of a cursor that was made for this query and has a value for each of `sorts`.
pub fn open(
    key: &SealingKey,
    tenant: Uuid,
    relation: &Ident,
    request: &ListRequest,
    cursor: &str,
    sorts: usize,
) -> Result<Position> {
    let sealed = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| foreign())?;
    let json = key.open(&sealed, &purpose(tenant, relation, request)).map_err(|_| foreign())?;
    let position: Position = serde_json::from_slice(&json).map_err(|_| foreign())?;
    if position.len() == sorts { Ok(position) } else { Err(foreign()) }
}

fn purpose(tenant: Uuid, relation: &Ident, request: &ListRequest) -> String {
    format!("cursor:{tenant}:{relation}:{}", request.identity())
}

fn foreign() -> Error {
    Error::malformed("The query is not valid.")
        .parameter("cursor", "invalid_cursor", "is not a cursor of this query")
        .hint("Filters and order must stay the same from page to page; begin again without a cursor.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SealingKey {
        SealingKey::from_base64(&SealingKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_cursor_opens_for_its_own_query_only() {
        let (key, table, tenant) = (key(), Ident::new("crm_deal").unwrap(), Uuid::from_u128(1));
        let (here, there) = (ListRequest::parse("a=eq.1").unwrap(), ListRequest::parse("a=eq.2").unwrap());
        let position = vec![Some("x".to_owned()), None];
        let cursor = seal(&key, tenant, &table, &here, &position).unwrap().unwrap();
        assert_eq!(open(&key, tenant, &table, &here, &cursor, 2).unwrap(), position);
        assert!(open(&key, tenant, &table, &here, &cursor, 1).is_err());
        assert!(open(&key, tenant, &table, &there, &cursor, 2).is_err());
        assert!(open(&key, Uuid::from_u128(2), &table, &here, &cursor, 2).is_err());
        let long = vec![Some("x".repeat(MAX_BYTES))];
        assert!(seal(&key, tenant, &table, &here, &long).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn nothing_else_opens(text in "[A-Za-z0-9_-]{0,120}") {
            let (table, request) = (Ident::new("t").unwrap(), ListRequest::default());
            prop_assert!(open(&key(), Uuid::nil(), &table, &request, &text, 1).is_err());
        }
    }
}
