//! Tenants that are behind: where `tenants.migrate_on_request` is on, a request brings its tenant up to date first.

use crate::app::App;
use crate::error::Result;
use crate::tenant::Tenant;

/// Asks; when a module waits for its migration, has it done, and asks once more.
pub(super) async fn in_time<T, F>(app: &App, tenant: &Tenant, ask: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    match ask().await {
        Err(error) if error.code() == "module_updating" => {
            app.latecomers.bring_up(tenant, error).await?;
            ask().await
        }
        other => other,
    }
}
