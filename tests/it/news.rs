//! Two processes over one database: what one changes, or somebody by hand, the other obeys within a second.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_postgres::Client;

use super::second::Second;
use super::world::{User, World};

/// What a customer may go on doing after it was taken from him.
const BOUND: Duration = Duration::from_secs(1);

const DEALS: &str = "/api/v1/deals?limit=1";
const TENANT: &str = "select id::text from public.tenants where subdomain = 'acme'";

impl Second {
    async fn get(&self, user: &User<'_>, path: &str) -> (StatusCode, Value) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let request = self.http.get(url).header("host", format!("{}.insula.test", user.subdomain));
        let response = request.bearer_auth(&user.token).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// Reads until the answer is another one; a second is the bound.
    #[track_caller]
    fn obeys<'a>(&'a self, user: &'a User<'_>, status: u16, code: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let changed = Instant::now();
            loop {
                let asked = changed.elapsed();
                let (found, body) = self.get(user, DEALS).await;
                if found.as_u16() == status && (status == 200 || body["code"] == code) {
                    return;
                }
                assert!(asked < BOUND, "{caller}: {asked:?} after the change still {found} {body}");
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// A world, a second process that has everything about acme's salesperson in its caches, and an onlooker.
struct Pair {
    world: World,
    second: Second,
    outside: Client,
}

impl Pair {
    async fn new() -> Self {
        let world = World::new().await;
        let second = Second::over(&world).await;
        let outside = world.superuser().await;
        Self { world, second, outside }
    }

    async fn warm(&self) -> User<'_> {
        let user = self.world.user("acme", "sales1").await;
        for _ in 0..2 {
            assert_eq!(self.second.get(&user, DEALS).await.0, StatusCode::OK);
        }
        user
    }

    async fn by_hand(&self, sql: &str) {
        assert!(self.outside.execute(sql, &[]).await.unwrap() > 0, "nothing changed by {sql}");
    }
}

#[tokio::test]
async fn a_suspension_is_obeyed_by_the_other_process() {
    let pair = Pair::new().await;
    let user = pair.warm().await;
    let staff = pair.world.staff().await;
    let tenant = format!("/api/v1/tenants/{}/actions", pair.world.tenant_id("acme").await);

    staff.post(&format!("{tenant}/suspend"), json!({ "reason": "unpaid" })).await.ok();
    pair.second.obeys(&user, 403, "tenant_suspended").await;
    staff.post(&format!("{tenant}/resume"), json!({})).await.ok();
    pair.second.obeys(&user, 200, "").await;

    pair.by_hand("update public.tenants set state = 'suspended', suspended_reason = 'x' where subdomain = 'acme'")
        .await;
    pair.second.obeys(&user, 403, "tenant_suspended").await;
    assert_eq!(user.get(DEALS).await.problem(403)["code"], "tenant_suspended");
}

#[tokio::test]
async fn a_module_switched_off_and_on_is_noticed_by_the_other_process() {
    let pair = Pair::new().await;
    let user = pair.warm().await;
    let staff = pair.world.staff().await;
    let module = format!("/api/v1/tenants/{}/modules/crm", pair.world.tenant_id("acme").await);

    assert_eq!(staff.delete(&module).await.status, StatusCode::NO_CONTENT);
    pair.second.obeys(&user, 403, "module_not_enabled").await;
    staff.put(&module).await.ok();
    pair.second.obeys(&user, 200, "").await;

    pair.by_hand("update public.modules set kill_switch = true where code = 'crm'").await;
    pair.second.obeys(&user, 403, "module_not_enabled").await;
    pair.by_hand("update public.modules set kill_switch = false where code = 'crm'").await;
    pair.second.obeys(&user, 200, "").await;
    pair.by_hand("delete from public.plan_modules where module_code = 'crm'").await;
    pair.second.obeys(&user, 403, "module_not_enabled").await;
}

#[tokio::test]
async fn a_grant_or_role_taken_away_is_gone_in_the_other_process() {
    let pair = Pair::new().await;
    let user = pair.warm().await;
    let role = "(select id from tenant_acme.sys_role where code = 'salesperson')";

    pair.by_hand(&format!("delete from tenant_acme.sys_role_grant where role_id = {role}")).await;
    pair.second.obeys(&user, 403, "forbidden").await;
    let grant = format!("insert into tenant_acme.sys_role_grant (role_id, permission) values ({role}, 'deals.view')");
    pair.by_hand(&grant).await;
    pair.second.obeys(&user, 200, "").await;
    pair.by_hand(&format!("delete from tenant_acme.sys_user_role where role_id = {role}")).await;
    pair.second.obeys(&user, 403, "forbidden").await;
}

#[tokio::test]
async fn a_revoked_session_and_a_disabled_user_are_out_in_the_other_process() {
    let pair = Pair::new().await;
    let user = pair.warm().await;
    let sales1 = "(select id from tenant_acme.sys_user where email = 'sales1@acme.test')";

    pair.by_hand(&format!("update tenant_acme.sys_session set revoked_at = now() where user_id = {sales1}")).await;
    pair.second.obeys(&user, 401, "unauthenticated").await;

    let again = pair.warm().await;
    pair.by_hand("update tenant_acme.sys_user set state = 'disabled' where email = 'sales1@acme.test'").await;
    pair.second.obeys(&again, 401, "unauthenticated").await;
    assert_eq!(again.get(DEALS).await.problem(401)["code"], "unauthenticated");
}

#[tokio::test]
async fn a_second_factor_that_the_account_wants_is_wanted_by_the_other_process() {
    let pair = Pair::new().await;
    let user = pair.warm().await;
    let setting = "'security.require_second_factor'";
    let factor = |sealed: &str, since: &str| {
        format!("update tenant_acme.sys_credential set totp_sealed = {sealed}, totp_confirmed_at = {since}")
    };

    pair.by_hand(&format!("insert into tenant_acme.sys_setting (key, value) values ({setting}, 'true')")).await;
    pair.second.obeys(&user, 403, "second_factor_setup_required").await;
    pair.by_hand(&factor("'x'", "now()")).await;
    pair.second.obeys(&user, 200, "").await;
    pair.by_hand(&factor("null", "null")).await;
    pair.second.obeys(&user, 403, "second_factor_setup_required").await;
    pair.by_hand(&format!("update tenant_acme.sys_setting set value = 'false' where key = {setting}")).await;
    pair.second.obeys(&user, 200, "").await;
    pair.by_hand(&format!("update tenant_acme.sys_setting set value = 'true' where key = {setting}")).await;
    pair.second.obeys(&user, 403, "second_factor_setup_required").await;
    pair.by_hand(&format!("delete from tenant_acme.sys_setting where key = {setting}")).await;
    pair.second.obeys(&user, 200, "").await;
}

#[tokio::test]
async fn what_was_said_while_nobody_listened_is_caught_up_with() {
    let pair = Pair::new().await;
    let user = pair.warm().await;

    // While the trigger is off the news is lost for certain, however fast the listener comes back.
    pair.outside.batch_execute("alter table public.tenants disable trigger zz_news").await.unwrap();
    pair.by_hand("update public.tenants set state = 'suspended', suspended_reason = 'x' where subdomain = 'acme'")
        .await;
    assert_eq!(pair.second.get(&user, DEALS).await.0, StatusCode::OK, "it cannot know yet");
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'insula news'";
    assert_eq!(pair.outside.query(kill, &[]).await.unwrap().len(), 2, "both processes listen");
    pair.second.obeys(&user, 403, "tenant_suspended").await;

    pair.outside.batch_execute("alter table public.tenants enable trigger zz_news").await.unwrap();
    pair.by_hand("update public.tenants set state = 'active', suspended_reason = null where subdomain = 'acme'").await;
    pair.second.obeys(&user, 200, "").await;
}

#[tokio::test]
async fn a_trial_ends_by_itself() {
    let pair = Pair::new().await;
    pair.outside.batch_execute("alter table public.tenant_subscriptions disable trigger zz_news").await.unwrap();
    let id: String = pair.outside.query_one(TENANT, &[]).await.unwrap().get(0);
    pair.by_hand(&format!(
        "update public.tenant_subscriptions set state = 'trialing', trial_ends_at = clock_timestamp() + interval '2 s'
         where tenant_id = '{id}'"
    ))
    .await;
    let user = pair.world.user("acme", "sales1").await;
    assert_eq!(pair.second.get(&user, DEALS).await.0, StatusCode::OK, "still on trial");

    let left = "select greatest(extract(epoch from trial_ends_at - clock_timestamp()), 0)::float8
        from public.tenant_subscriptions where tenant_id = $1::text::uuid";
    let left: f64 = pair.outside.query_one(left, &[&id]).await.unwrap().get(0);
    assert!(left > 0.0, "the trial ended before it was looked at");
    sleep(Duration::from_secs_f64(left)).await;
    pair.second.obeys(&user, 403, "module_not_enabled").await;
    assert_eq!(user.get(DEALS).await.problem(403)["code"], "module_not_enabled");
}

#[tokio::test]
async fn a_new_tenant_is_reached_at_once_though_it_was_asked_for_before() {
    let pair = Pair::new().await;
    let staff = pair.world.staff().await;
    let here = async || pair.world.request(reqwest::Method::GET, "newco", "/api/v1/me").status().await;
    let there = async || {
        let url = format!("http://127.0.0.1:{}/api/v1/me", pair.second.port);
        pair.second.http.get(url).header("host", "newco.insula.test").send().await.unwrap().status().as_u16()
    };
    assert_eq!((here().await, there().await), (404, 404));
    let new = json!({ "company": "New", "subdomain": "newco", "plan": "starter", "email": "ann@newco.test" });
    assert_eq!(staff.post("/api/v1/tenants", new).await.status, StatusCode::CREATED);
    let made = Instant::now();
    assert_eq!(here().await, 401, "known, and wants a token");
    while there().await != 401 {
        assert!(made.elapsed() < BOUND, "still unknown to the other process");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_host_that_means_nobody_is_not_looked_up_again_and_again() {
    let world = World::new().await;
    let mut registry = world.superuser().await;
    let ask = async |name: &str| world.request(reqwest::Method::GET, name, "/api/v1/me").send().await;
    ask("nobody-here").await.problem(404);
    let busy = registry.transaction().await.unwrap();
    busy.batch_execute("lock table public.tenants in access exclusive mode").await.unwrap();
    for _ in 0..20 {
        assert_eq!(ask("nobody-here").await.problem(404)["code"], "tenant_not_found");
    }
}
