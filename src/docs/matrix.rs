//! What can be granted, and what is.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::reader::Grants;
use crate::access::Permissions;
use crate::pack::Catalog;

/// Every permission of the modules that answer, by its first word: `{contacts: {view: true, …}, …}`.
pub fn matrix(catalog: &Catalog, modules: &Grants, granted: &Permissions) -> Value {
    let mut families: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for pack in catalog.packs().iter().filter(|pack| modules.has(&pack.manifest.code)) {
        for code in pack.manifest.permissions() {
            let Some((family, verb)) = code.split_once('.') else { continue };
            families.entry(family.to_owned()).or_default().insert(verb.to_owned(), granted.allow(&code).into());
        }
    }
    families.into_iter().map(|(family, verbs)| (family, verbs.into())).collect::<Map<_, _>>().into()
}
