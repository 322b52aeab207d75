//! Files that somebody made who knows the format: whatever they say, nothing of it is run, and nothing but rows of known
//! tables gets in.

use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::program::{Ran, insula, invariants};
use crate::world::World;

const START: usize = 8 + 2 + 19;

/// The records of a file that is not encrypted: kind and body.
type Records = Vec<(u8, Vec<u8>)>;

fn open(file: &[u8]) -> Records {
    let (mut at, mut packed) = (START, Vec::new());
    while at < file.len() {
        let length = (u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) & !(1 << 31)) as usize;
        packed.extend_from_slice(&file[at + 4..at + 4 + length - 32]);
        at += 4 + length;
    }
    let (plain, mut at, mut records) = (zstd::decode_all(&packed[..]).unwrap(), 0, Vec::new());
    while at < plain.len() {
        let length = u32::from_be_bytes(plain[at + 1..at + 5].try_into().unwrap()) as usize;
        records.push((plain[at], plain[at + 5..at + 5 + length].to_vec()));
        at += 5 + length;
    }
    records
}

/// A file with these records whose frames are as they should be.
fn close(start: &[u8], records: &Records) -> Vec<u8> {
    let mut plain = Vec::new();
    for (kind, body) in records {
        plain.push(*kind);
        plain.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        plain.extend_from_slice(body);
    }
    let (packed, mut file) = (zstd::encode_all(&plain[..], 3).unwrap(), start.to_vec());
    let mut before: [u8; 32] = Sha256::digest(start).into();
    let frames: Vec<&[u8]> = packed.chunks(256 * 1024).collect();
    for (number, content) in frames.iter().enumerate() {
        let last = number + 1 == frames.len();
        before =
            Sha256::new().chain_update(before).chain_update([u8::from(last)]).chain_update(content).finalize().into();
        let length = u32::try_from(content.len() + 32).unwrap() | if last { 1 << 31 } else { 0 };
        file.extend_from_slice(&length.to_be_bytes());
        file.extend_from_slice(content);
        file.extend_from_slice(&before);
    }
    file
}

struct Forge {
    world: World,
    _folder: TempDir,
    path: PathBuf,
    start: Vec<u8>,
    records: Records,
}

impl Forge {
    async fn new() -> Self {
        let (world, folder) = (World::new().await, TempDir::new().unwrap());
        let path = folder.path().join("forged.backup");
        insula(&world, &["tenant", "backup", "acme", "--plain", "--output", path.to_str().unwrap()]).await.expect(0);
        let file = std::fs::read(&path).unwrap();
        let (start, records) = (file[..START].to_vec(), open(&file));
        assert_eq!(open(&close(&start, &records)), records);
        Self { world, _folder: folder, path, start, records }
    }

    async fn restore(&self, records: &Records) -> Ran {
        std::fs::write(&self.path, close(&self.start, records)).unwrap();
        insula(&self.world, &["tenant", "restore", self.path.to_str().unwrap(), "--confirm=acme"]).await
    }

    fn with_header(&self, change: impl FnOnce(&mut Value)) -> Records {
        let mut records = self.records.clone();
        let mut header: Value = serde_json::from_slice(&records[0].1).unwrap();
        change(&mut header);
        records[0].1 = serde_json::to_vec(&header).unwrap();
        records
    }

    /// Other rows for a table, with the sum that belongs to them.
    fn with_rows(&self, table: &str, change: impl FnOnce(&mut Vec<u8>)) -> Records {
        let mut rows = Vec::new();
        let at = self.records.iter().position(|(kind, body)| *kind == b'T' && body == table.as_bytes()).unwrap();
        let end = at + self.records[at..].iter().position(|(kind, _)| *kind == b'E').unwrap();
        self.records[at + 1..end].iter().for_each(|(_, body)| rows.extend_from_slice(body));
        change(&mut rows);
        let count = rows.iter().filter(|byte| **byte == b'\n').count();
        let mut records = self.with_header(|header| {
            let tables = header["tables"].as_array_mut().unwrap();
            tables.iter_mut().find(|entry| entry["name"] == table).unwrap()["rows"] = json!(count);
        });
        let digest: String = Sha256::digest(&rows).iter().map(|byte| format!("{byte:02x}")).collect();
        let sum = json!({ "rows": count, "sha256": digest }).to_string().into_bytes();
        records.splice(at + 1..=end, [(b'D', rows), (b'E', sum)]);
        records
    }
}

fn table<'a>(header: &'a mut Value, name: &str) -> &'a mut Value {
    header["tables"].as_array_mut().unwrap().iter_mut().find(|table| table["name"] == name).unwrap()
}

#[tokio::test]
async fn names_are_looked_up_and_never_run() {
    let forge = Forge::new().await;
    let rename = |from: &str, to: &str| {
        let mut records = forge.with_header(|header| table(header, from)["name"] = json!(to));
        records
            .iter_mut()
            .filter(|(kind, body)| *kind == b'T' && body == from.as_bytes())
            .for_each(|(_, body)| *body = to.into());
        records
    };
    let columns = |to: Value| forge.with_header(|header| table(header, "crm_contact")["columns"][0] = to);
    let mut twice = forge.with_header(|header| {
        let again = table(header, "crm_contact").clone();
        header["tables"].as_array_mut().unwrap().push(again);
        header["tables"].as_array_mut().unwrap().last_mut().unwrap()["rows"] = json!(0);
    });
    let sum = json!({ "rows": 0, "sha256": data_encoding::HEXLOWER.encode(&Sha256::digest("")) });
    let end = twice.len() - 1;
    twice.splice(end..end, [(b'T', b"crm_contact".to_vec()), (b'E', sum.to_string().into_bytes())]);
    let cases: Vec<(Records, &str)> = vec![
        (rename("crm_contact", "x; drop schema public cascade; --"), "is in no pack"),
        (rename("crm_contact", "public.tenants"), "is in no pack"),
        (rename("crm_contact", "../../etc/passwd"), "is in no pack"),
        (rename("crm_contact", "sys_session"), "is in no pack"),
        (twice, "comes twice"),
        (columns(json!("id) from program 'id' --")), "has a column that its pack does not have"),
        (columns(json!("first_name")), "has not the columns"),
        (forge.with_header(|header| drop(header["tables"].as_array_mut().unwrap().remove(0))), "is missing"),
        (
            forge.with_header(|header| header["sequences"][0]["name"] = json!("public.x")),
            "the sequence `public.x` is in none",
        ),
        (forge.with_header(|header| header["packs"][0]["pack"] = json!("evil\u{1b}[2J")), "the pack `evil[2J`"),
        (forge.with_header(|header| header["packs"][0]["version"] = json!(999)), "version 999"),
        (forge.with_header(|header| header["packs"][0]["digests"][0] = json!("00")), "is another one in this program"),
        (forge.with_header(|header| header["tenant"]["id"] = json!(uuid::Uuid::nil())), "is not there"),
        (forge.with_header(|header| header["extra"] = json!(1)), "its header"),
        (forge.records[1..].to_vec(), "its header is missing"),
        (forge.records[..forge.records.len() - 1].to_vec(), "is cut off"),
        ([forge.records.clone(), vec![(b'Z', Vec::new())]].concat(), "follows its end"),
    ];
    for (records, why) in cases {
        let ran = forge.restore(&records).await.expect(1);
        assert!(ran.said.contains(why), "{why}: {}", ran.said);
    }
    invariants(&forge.world).await;
}

#[tokio::test]
async fn rows_are_values_and_all_of_them_arrive_or_none() {
    let forge = Forge::new().await;
    let first = |rows: &[u8]| rows.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let cases: Vec<(Records, &str)> = vec![
        // An end of data in the middle: PostgreSQL would take the first row only.
        (forge.with_rows("crm_contact", |rows| drop(rows.splice(first(rows)..first(rows), *b"\\.\n"))), "rows arrived"),
        (forge.with_rows("crm_contact", |rows| rows.extend_from_slice(b"\\.\n")), "rows arrived"),
        (forge.with_rows("crm_contact", |rows| rows.extend_from_slice(b"x\ty\n")), "refuses a row"),
        (forge.with_rows("crm_contact", |rows| rows.extend_from_within(..first(rows))), "refuses a row"),
        // Rows that others name.
        (forge.with_rows("sys_user", Vec::clear), "does not hold together"),
    ];
    for (records, why) in cases {
        let ran = forge.restore(&records).await.expect(1);
        assert!(ran.said.contains(why), "{why}: {}", ran.said);
    }
    invariants(&forge.world).await;
    let forged = forge.with_rows("sys_audit_event", |rows| {
        let text = String::from_utf8(std::mem::take(rows)).unwrap();
        *rows = text.replacen("\tcreate\t", "\tdelete\t", 1).into_bytes();
    });
    forge.restore(&forged).await.expect(0);
    let ran = insula(&forge.world, &["check", "audit", "--tenant", "acme"]).await.expect(1);
    assert!(ran.said.contains("it was changed"), "a forged history is found: {}", ran.said);
}
