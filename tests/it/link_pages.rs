//! Pages of letters: where their links lead, and the one on which `insula dev` shows them.

use reqwest::Method;
use serde_json::json;

use super::letters::settled;
use super::world::World;

#[tokio::test]
async fn links_lead_to_pages_that_tell_nobody_the_token() {
    let world = World::new().await;
    for (path, call) in
        [("/accept", "accept"), ("/reset-password", "reset-password"), ("/forgot-password", "forgot-password")]
    {
        let page = world.request(Method::GET, "acme", path).send().await;
        assert_eq!(
            (page.status.as_u16(), &page.headers["content-type"]),
            (200, &"text/html; charset=utf-8".parse().unwrap())
        );
        assert!(page.text.contains(&format!("data-path=\"{call}\"")), "{}", page.text);
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && policy.ends_with("; connect-src 'self'"), "{policy}");
        assert!(policy.contains("script-src 'sha256-") && policy.contains("frame-ancestors 'none'"), "{policy}");
        for nowhere in ["", "nobody", "admin"] {
            assert_eq!(world.request(Method::GET, nowhere, path).send().await.status, 404, "{nowhere}{path}");
        }
    }
}

#[tokio::test]
async fn letters_are_shown_by_insula_dev_and_nobody_else() {
    let world = World::with(|mut config| {
        config.development = true;
        config
    })
    .await;
    let admin = world.user("acme", "admin").await;
    let body = json!({ "email": "nina@example.com", "first_name": "<i>Nina</i>" });
    admin.post("/api/v1/users", body).await.ok();
    settled(&world.superuser().await, "acme").await;
    let page = world.request(Method::GET, "", "/dev/mail").send().await;
    assert!(page.text.contains("Hello &lt;i&gt;Nina&lt;/i&gt;,"), "{}", page.text);
    assert!(
        page.text.contains(&format!("<a href=\"{}/accept#insula_lt_", world.app.tenant_url("acme"))),
        "{}",
        page.text
    );
    for host in ["acme", "admin", "nobody"] {
        assert_eq!(world.request(Method::GET, host, "/dev/mail").send().await.status, 404, "{host}");
    }
    let url = format!("http://127.0.0.1:{}/dev/mail", world.port);
    let rebound = reqwest::Client::new().get(url).header("host", "evil.test").send().await.unwrap();
    assert_eq!(rebound.status(), 404, "a name of somebody else that leads here");
    let usual = World::new().await;
    assert_eq!(usual.request(Method::GET, "", "/dev/mail").send().await.status, 404);
}
