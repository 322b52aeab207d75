//! The tables of a schema whose rows are saved.

use crate::db::Transaction;
use crate::error::Result;
use crate::ident::Ident;
use crate::pack::Catalog;

/// Tables and their columns.
pub struct Inventory {
    /// Tables whose rows are saved, with the columns that are not computed.
    pub tables: Vec<(Ident, Vec<Ident>)>,
    /// Those whose rows count at the moment only.
    pub fleeting: Vec<Ident>,
}

/// Asks the catalogue of PostgreSQL about the first schema of the path.
pub async fn inventory(tx: &mut Transaction, catalog: &Catalog) -> Result<Inventory> {
    let sql = "select c.relname::text, array_agg(a.attname::text order by a.attnum)
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
        group by 1 order by 1";
    let fleeting: Vec<&String> = catalog.packs().iter().flat_map(|pack| &pack.manifest.fleeting).collect();
    let mut found = Inventory { tables: Vec::new(), fleeting: Vec::new() };
    for row in tx.query(sql, &[]).await? {
        let (name, columns): (String, Vec<String>) = (row.get(0), row.get(1));
        let table = Ident::new(&*name)?;
        if fleeting.contains(&&name) {
            found.fleeting.push(table);
        } else {
            found.tables.push((table, columns.into_iter().map(Ident::new).collect::<Result<_>>()?));
        }
    }
    Ok(found)
}
