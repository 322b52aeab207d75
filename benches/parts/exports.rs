use std::time::{Duration, Instant};

use futures_util::StreamExt;
use insula::error::{Error, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::Client;

use super::memory;

/// All contacts in three forms.
pub const CSV: &str = "/api/v1/contacts?format=csv";
/// A JSON object a line.
pub const NDJSON: &str = "/api/v1/contacts?format=ndjson";
/// A workbook.
pub const XLSX: &str = "/api/v1/contacts?format=xlsx";

/// So many contacts, and 2,000 deals with activities, for the first tenant.
#[expect(clippy::disallowed_methods, reason = "the benchmark looks from outside")]
pub async fn fill(superuser: &Client, contacts: usize) -> Result<()> {
    let sql = format!(
        "set session_replication_role = replica;
         set search_path = tenant_bench_0, insula;
         insert into crm_contact (first_name, last_name, email, phone, title, owner_id)
           select 'Asha', 'Pillai ' || n, 'x' || n || '@rows.test', '+919876543210', 'Buyer', (select id from sys_user limit 1)
           from generate_series(1, {contacts}) n;
         insert into crm_deal (title, pipeline_id, stage_id, contact_id, amount, currency, owner_id)
           select 'Deal', s.pipeline_id, s.id, c.id, 1000, 'INR', c.owner_id
           from (select * from crm_contact limit 2000) c, (select * from crm_stage where kind = 'open' limit 1) s;
         insert into crm_activity (kind, subject, due_at, owner_id, deal_id)
           select 'task', 'Call ' || n, now(), d.owner_id, d.id from crm_deal d, generate_series(1, 3) n;
         analyze"
    );
    superuser.batch_execute(&sql).await.map_err(Error::internal)
}

/// Rows a second of `COPY` of the same columns in the same order.
pub async fn copy(client: &Client) -> Result<f64> {
    let sql = "copy (select id, first_name, last_name, email, phone, title, organization_id, source, owner_id,
          do_not_contact, merged_into, state, created_at, created_by, updated_at, row_version
        from tenant_bench_0.crm_contact order by id) to stdout (format csv, header)";
    let began = Instant::now();
    let mut rows = 0_usize;
    let mut stream = Box::pin(client.copy_out(sql).await.map_err(Error::internal)?);
    while let Some(bytes) = stream.next().await {
        rows += bytes.map_err(Error::internal)?.iter().filter(|byte| **byte == b'\n').count();
    }
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}

/// How long a whole file took, and the most memory that the service had meanwhile, in kB.
pub async fn download(port: u16, request: &[u8], pid: u32) -> Result<(Duration, u64)> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(Error::internal)?;
    stream.write_all(request).await.map_err(Error::internal)?;
    let (mut most, mut tail) = (0, Vec::new());
    let mut buffer = vec![0; 256 * 1024];
    let mut reads = 0_usize;
    while !tail.ends_with(b"\r\n0\r\n\r\n") {
        let read = stream.read(&mut buffer).await.map_err(Error::internal)?;
        if read == 0 {
            return Err(Error::internal("the export broke off"));
        }
        tail.extend_from_slice(&buffer[..read]);
        tail.drain(..tail.len().saturating_sub(16));
        if reads.is_multiple_of(64) {
            most = most.max(memory::resident(pid)?);
        }
        reads += 1;
    }
    Ok((began.elapsed(), most.max(memory::resident(pid)?)))
}
