//! `/docs` and `/redoc`: pages that need nothing from outside.

use reqwest::Method;

use crate::world::{Answer, World};

/// Everything that a page loads or leads to, by the attributes that can.
fn links(html: &str) -> Vec<&str> {
    let attributes = [" src=\"", " href=\"", " action=\"", "url("];
    attributes
        .iter()
        .flat_map(|name| html.split(name).skip(1))
        .map(|rest| rest.split(['"', ')']).next().unwrap())
        .collect()
}

#[track_caller]
fn assert_stands_alone(page: &Answer) {
    assert_eq!(
        (page.status.as_u16(), &page.headers["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    for link in links(&page.text) {
        let inside = link.starts_with(['/', '#']) && !link.starts_with("//");
        assert!(inside || link.starts_with("data:image/svg+xml,"), "{link}");
    }
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
}

#[tokio::test]
async fn pages_and_their_files_stay_inside() {
    let world = World::new().await;
    for (host, path) in [
        ("acme", "/docs"),
        ("acme", "/redoc"),
        ("admin", "/docs"),
        ("admin", "/redoc"),
        ("", "/docs"),
        ("", "/problems"),
    ] {
        let page = world.request(Method::GET, host, path).send().await;
        assert_stands_alone(&page);
        assert!(!page.text.contains(" style=\"") && !page.text.contains("<script>"), "{path}");
    }
    let page = world.request(Method::GET, "acme", "/docs").send().await.text;
    let files: Vec<&str> = links(&page).into_iter().filter(|link| link.starts_with("/docs/")).collect();
    assert_eq!(files.len(), 4);
    for file in files {
        let answer = world.request(Method::GET, "acme", file).send().await;
        assert_eq!(answer.status, 200, "{file}");
        let kind = if file.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
        assert_eq!(answer.headers["content-type"], kind);
        assert_eq!(answer.headers["cache-control"], "public, max-age=31536000, immutable");
        let of_ours = file.contains("interactive");
        assert_eq!(answer.headers.contains_key("content-encoding"), !of_ours, "{file}");
        assert!(!of_ours || !answer.text.contains("://"), "{file}");
        let (folder, name) = file.rsplit_once('/').unwrap();
        let stale = format!("{folder}/0123456789abcdef.{}", name.split_once('.').unwrap().1);
        world.request(Method::GET, "acme", &stale).send().await.problem(404);
    }
}

#[tokio::test]
async fn the_reference_is_the_callers_own() {
    let world = World::new().await;
    let public = world.request(Method::GET, "acme", "/redoc").send().await;
    assert!(public.text.contains("/api/v1/auth/login") && !public.text.contains("/api/v1/contacts"));
    assert!(public.text.contains("With an access token the page shows everything"));

    let sales1 = world.user("acme", "sales1").await;
    let by_header = sales1.get("/redoc").await;
    assert_stands_alone(&by_header);
    for there in ["/api/v1/contacts/{id}", "/api/v1/deals/{id}/actions/move", "/api/v1/reports/pipeline", "stage_id"] {
        assert!(by_header.text.contains(there), "{there}");
    }
    assert!(!by_header.text.contains("/api/v1/users") && !by_header.text.contains("<form"));

    let form = |token: &str| {
        let body = format!("token={token}");
        world.request(Method::POST, "acme", "/redoc").body("application/x-www-form-urlencoded", body).send()
    };
    assert_eq!(form(&sales1.token).await.text, by_header.text);
    assert_eq!(form(&format!("Bearer+{}", sales1.token)).await.text, by_header.text);
    for bad in ["", "garbage", "%0d%0a", &world.operator().await] {
        let refused = form(bad).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.headers["content-type"]),
            (401, &"text/html; charset=utf-8".parse().unwrap())
        );
        assert!(refused.text.contains("is missing, invalid or expired") && !refused.text.contains("/api/v1/contacts"));
    }
    let stranger = world.token("techstart", "owner").await;
    assert_eq!(form(&stranger).await.status, 403);
    form(&"x".repeat(20_000)).await.problem(413);
}

#[tokio::test]
async fn operators_have_their_own_reference() {
    let world = World::new().await;
    let staff = world.staff().await.get("/redoc").await;
    assert_stands_alone(&staff);
    assert!(staff.text.contains("/api/v1/tenants/{id}/actions/suspend"));
    let public = world.request(Method::GET, "admin", "/redoc").send().await;
    assert!(!public.text.contains("/api/v1/tenants"));
}
