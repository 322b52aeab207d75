//! The query string of a read and its cursor: whatever comes, nothing panics, and what was read has an identity that
//! reads the same again.
#![no_main]

use insula::db::seal::SealingKey;
use insula::ident::Ident;
use insula::resource::{ListRequest, open_cursor};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(request) = ListRequest::parse(text) else { return };
    let again = ListRequest::parse(&request.identity()).expect("what was read once reads again");
    assert_eq!(again.identity(), request.identity());
    let Some(cursor) = &request.cursor else { return };
    let key = SealingKey::from_base64("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").expect("32 bytes");
    let table = Ident::new("crm_deal").expect("a name");
    assert!(open_cursor(&key, Default::default(), &table, &request, cursor, 1).is_err(), "nobody can make a cursor");
});
