use std::fs;

use insula::error::{Error, Result};
use tokio_postgres::Client;

/// Resident memory of a process, in kB.
pub fn resident(pid: u32) -> Result<u64> {
    rollup(&pid.to_string(), "Rss:")
}

/// The most that a process has held, in MB.
pub fn peak(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(Error::internal)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.map(|kilobytes| kilobytes / 1024.0).ok_or_else(|| Error::internal(format!("no VmHWM in {path}")))
}

/// The backends of either side, a line each: how many, and the mean and most they hold.
pub async fn backends(superuser: &Client, tenants: usize) -> Result<Vec<String>> {
    let sql = "select application_name, pid::text from pg_stat_activity where application_name = any($1)";
    let mut lines = Vec::new();
    for name in ["bare", "insula"] {
        let rows = superuser.query(sql, &[&vec![name]]).await.map_err(Error::internal)?;
        let of = |field| rows.iter().map(|row| rollup(row.get(1), field)).collect::<Result<Vec<u64>>>();
        let (pss, own) = (of("Pss:")?, of("Private_Dirty:")?);
        lines.push(format!(
            "{tenants:>8} tenants, {name:<6} {:>3} connections: pss {}, private {}",
            rows.len(),
            mean_and_most(&pss),
            mean_and_most(&own)
        ));
    }
    Ok(lines)
}

fn mean_and_most(kilobytes: &[u64]) -> String {
    let mean = kilobytes.iter().sum::<u64>() as f64 / kilobytes.len().max(1) as f64 / 1024.0;
    let most = kilobytes.iter().max().copied().unwrap_or_default() as f64 / 1024.0;
    format!("{mean:.1} (most {most:.1})")
}

fn rollup(pid: &str, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(Error::internal)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| Error::internal(format!("no {field} in {path}")))
}
