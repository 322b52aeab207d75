//! What can be granted, and what is.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::reader::Grants;
use crate::access::{Permissions, Reaches};
use crate::pack::Catalog;

/// How far granted permissions reach over rows, by the first word of those that say it: `{crm: "team"}`.
pub fn scopes(catalog: &Catalog, modules: &Grants, granted: &Permissions) -> Value {
    let answering = catalog.packs().iter().filter(|pack| modules.has(&pack.manifest.code));
    let codes = answering.flat_map(|pack| pack.manifest.permissions()).collect();
    let reaches = Reaches::among(&codes).of(granted);
    reaches.into_iter().map(|(family, level)| (family, level.into())).collect::<Map<_, _>>().into()
}

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
