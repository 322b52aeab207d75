//! The two route tables. The router is built from them, and so are the tests that try every route as everybody.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use super::error::Problem;
use super::front::remember_route;
use super::metadata::{Face, OperatorFace, TenantFace};
use super::{
    account, batch, copies, factor, impersonations, links, metadata, migrations, operations, operator, operators,
    pages, resources, roles, tenant_life, writes,
};
use crate::app::App;
use crate::error::{Error, Kind};
use crate::pack::Verb;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Anybody.
    Public,
    /// Whoever is signed in to the tenant.
    SignedIn,
    /// The one user whose own it is.
    Own,
    /// Who has the permission for a verb on the resource, with its module on.
    Resource(Verb),
    /// Who has the permissions to create and to edit rows of the resource; with If-Match only the latter, with
    /// If-None-Match only the former.
    Replace,
    /// Whoever is signed in to the tenant, for requests that are each held to their own policy.
    Batch,
    /// Who manages the tenant's roles.
    Roles,
    /// Who has the action's permission, with its module on.
    Action,
    /// Who has the report's permission, with its module on.
    Report,
    /// Any operator.
    Operator,
    /// Any operator, about himself.
    OperatorSelf,
    /// Operators who may change tenants.
    TenantAdmin,
    /// Operators who may change operators.
    PlatformOwner,
}

/// One route.
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path template.
    pub path: &'static str,
    /// Who may use it.
    pub policy: Policy,
    handler: MethodRouter<Arc<App>>,
}

fn route(method: Method, path: &'static str, policy: Policy, handler: MethodRouter<Arc<App>>) -> Route {
    Route { method, path, policy, handler }
}

/// Routes on tenants' hosts and on the apex.
pub fn tenant_routes() -> Vec<Route> {
    use Policy::{Action, Batch, Own, Public, Replace, Report, Resource, Roles, SignedIn};
    let mut routes = vec![
        route(Method::POST, "/api/v1/signup", Public, post(account::signup)),
        route(Method::POST, "/api/v1/auth/login", Public, post(account::login)),
        route(Method::POST, "/api/v1/auth/refresh", Public, post(account::refresh)),
        route(Method::POST, "/api/v1/auth/accept", Public, post(links::accept)),
        route(Method::POST, "/api/v1/auth/forgot-password", Public, post(links::forgot_password)),
        route(Method::POST, "/api/v1/auth/reset-password", Public, post(links::reset_password)),
        route(Method::POST, "/api/v1/auth/logout", SignedIn, post(account::logout)),
        route(Method::POST, "/api/v1/auth/logout-all", SignedIn, post(account::logout_all)),
        route(Method::GET, "/api/v1/me", SignedIn, get(account::me)),
        route(Method::POST, "/api/v1/me/password", SignedIn, post(account::change_password)),
        route(Method::GET, "/api/v1/me/totp", SignedIn, get(factor::state)),
        route(Method::POST, "/api/v1/me/totp", SignedIn, post(factor::begin)),
        route(Method::DELETE, "/api/v1/me/totp", SignedIn, delete(factor::remove)),
        route(Method::POST, "/api/v1/me/totp/confirm", SignedIn, post(factor::confirm)),
        route(Method::POST, "/api/v1/me/totp/recovery-codes", SignedIn, post(factor::renew)),
        route(Method::GET, "/api/v1/me/permissions", SignedIn, get(account::permissions)),
        route(Method::GET, "/api/v1/modules", SignedIn, get(account::modules)),
        route(Method::GET, "/api/v1", SignedIn, get(metadata::directory)),
        route(Method::POST, "/api/v1/batch", Batch, post(batch::batch)),
        route(Method::GET, "/api/v1/operations/{id}", Own, get(operations::operation)),
        route(Method::GET, "/api/v1/operations/{id}/events", Own, get(operations::events)),
        route(Method::GET, "/api/v1/reports/{report}", Report, get(resources::report)),
        route(Method::GET, "/api/v1/reports/{report}/schema", Report, get(metadata::report_schema)),
        route(Method::GET, "/api/v1/roles/{id}/grants", Roles, get(roles::grants)),
        route(Method::PUT, "/api/v1/roles/{id}/grants", Roles, put(roles::set_grants)),
        route(Method::GET, "/api/v1/{resource}", Resource(Verb::View), get(resources::list)),
        route(Method::POST, "/api/v1/{resource}", Resource(Verb::Create), post(writes::create)),
        route(Method::GET, "/api/v1/{resource}/schema", Resource(Verb::View), get(metadata::schema)),
        route(Method::PATCH, "/api/v1/{resource}", Resource(Verb::Edit), patch(writes::update_many)),
        route(Method::DELETE, "/api/v1/{resource}", Resource(Verb::Delete), delete(writes::delete_many)),
        route(Method::GET, "/api/v1/{resource}/{id}", Resource(Verb::View), get(resources::get)),
        route(Method::PUT, "/api/v1/{resource}/{id}", Replace, put(writes::replace)),
        route(Method::PATCH, "/api/v1/{resource}/{id}", Resource(Verb::Edit), patch(writes::update)),
        route(Method::DELETE, "/api/v1/{resource}/{id}", Resource(Verb::Delete), delete(writes::delete)),
        route(Method::POST, "/api/v1/{resource}/{id}/actions/{action}", Action, post(writes::act)),
    ];
    for path in ["/accept", "/reset-password", "/forgot-password"] {
        routes.push(route(Method::GET, path, Public, get(pages::link)));
    }
    routes.extend(document_routes::<TenantFace>());
    routes
}

/// Routes that only `insula dev` has, beside those of tenants.
pub fn dev_routes() -> Vec<Route> {
    vec![route(Method::GET, "/dev/mail", Policy::Public, get(pages::letters))]
}

/// Routes on `admin.<domain>`.
pub fn operator_routes() -> Vec<Route> {
    use Policy::{Operator, OperatorSelf, PlatformOwner, Public, TenantAdmin};
    let mut routes = vec![
        route(Method::POST, "/api/v1/auth/login", Public, post(operators::login)),
        route(Method::POST, "/api/v1/auth/refresh", Public, post(operators::refresh)),
        route(Method::POST, "/api/v1/auth/logout", OperatorSelf, post(operators::logout)),
        route(Method::POST, "/api/v1/auth/logout-all", OperatorSelf, post(operators::logout_all)),
        route(Method::GET, "/api/v1/me", Operator, get(operators::me)),
        route(Method::POST, "/api/v1/me/password", OperatorSelf, post(operators::change_password)),
        route(Method::GET, "/api/v1/operators", Operator, get(operators::list)),
        route(Method::POST, "/api/v1/operators", PlatformOwner, post(operators::create)),
        route(Method::GET, "/api/v1/operators/{id}", Operator, get(operators::get)),
        route(Method::PATCH, "/api/v1/operators/{id}", PlatformOwner, patch(operators::update)),
        route(Method::GET, "/api/v1/tenants", Operator, get(operator::tenants)),
        route(Method::POST, "/api/v1/tenants", TenantAdmin, post(operator::tenant_create)),
        route(Method::GET, "/api/v1/tenants/{id}", Operator, get(operator::tenant)),
        route(Method::POST, "/api/v1/tenants/{id}/actions/suspend", TenantAdmin, post(operator::suspend)),
        route(Method::POST, "/api/v1/tenants/{id}/actions/resume", TenantAdmin, post(operator::resume)),
        route(Method::POST, "/api/v1/tenants/{id}/actions/rename", TenantAdmin, post(tenant_life::rename)),
        route(Method::POST, "/api/v1/tenants/{id}/actions/delete", TenantAdmin, post(tenant_life::delete)),
        route(Method::POST, "/api/v1/tenants/{id}/actions/undelete", TenantAdmin, post(tenant_life::undelete)),
        route(Method::POST, "/api/v1/tenants/{id}/actions/purge", PlatformOwner, post(tenant_life::purge)),
        route(Method::PUT, "/api/v1/tenants/{id}/modules/{code}", TenantAdmin, put(operator::module_enable)),
        route(Method::DELETE, "/api/v1/tenants/{id}/modules/{code}", TenantAdmin, delete(operator::module_disable)),
        route(Method::POST, "/api/v1/tenants/{id}/impersonations", TenantAdmin, post(impersonations::begin)),
        route(
            Method::DELETE,
            "/api/v1/tenants/{id}/impersonations/{session}",
            TenantAdmin,
            delete(impersonations::end),
        ),
    ];
    routes.extend(fleet_routes());
    routes.extend(document_routes::<OperatorFace>());
    routes
}

/// What operators do with the fleet as a whole, and with copies of tenants.
fn fleet_routes() -> Vec<Route> {
    use Policy::{Operator, TenantAdmin};
    vec![
        route(Method::GET, "/api/v1/migrations", Operator, get(migrations::status)),
        route(Method::POST, "/api/v1/migrations", TenantAdmin, post(migrations::begin)),
        route(Method::GET, "/api/v1/migrations/{id}", Operator, get(migrations::run)),
        route(Method::GET, "/api/v1/migrations/{id}/events", Operator, get(migrations::events)),
        route(Method::POST, "/api/v1/migrations/{id}/actions/pause", TenantAdmin, post(migrations::pause)),
        route(Method::POST, "/api/v1/migrations/{id}/actions/resume", TenantAdmin, post(migrations::resume)),
        route(Method::GET, "/api/v1/operations/{id}", Operator, get(copies::operation)),
        route(Method::GET, "/api/v1/backups", Operator, get(copies::list)),
        route(Method::POST, "/api/v1/backups/{name}/actions/verify", TenantAdmin, post(copies::verify)),
        route(Method::POST, "/api/v1/backups/{name}/actions/restore-as", TenantAdmin, post(copies::restore_as)),
        route(Method::POST, "/api/v1/tenants/{id}/actions/backup", TenantAdmin, post(copies::backup)),
        route(Method::POST, "/api/v1/tenants/{id}/actions/restore", TenantAdmin, post(copies::restore)),
        route(Method::POST, "/api/v1/tenants/{id}/actions/unrestore", TenantAdmin, post(copies::unrestore)),
        route(Method::POST, "/api/v1/tenants/{id}/actions/clone", TenantAdmin, post(copies::clone)),
    ]
}

/// What the API says about itself, on every host: to anybody the public part.
fn document_routes<F: Face + 'static>() -> Vec<Route> {
    use Policy::Public;
    vec![
        route(Method::GET, "/openapi.json", Public, get(metadata::openapi::<F>)),
        route(Method::GET, "/docs", Public, get(pages::interactive)),
        route(Method::GET, "/docs/{asset}", Public, get(pages::asset)),
        route(Method::GET, "/redoc", Public, get(pages::reference::<F>)),
        route(Method::POST, "/redoc", Public, post(pages::reference_for_token::<F>)),
        route(Method::GET, "/problems", Public, get(pages::problems)),
        route(Method::GET, "/problems/{code}", Public, get(pages::problem)),
    ]
}

/// A table as a router.
pub fn router(routes: Vec<Route>, app: Arc<App>) -> Router {
    let router = routes.into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    router
        .method_not_allowed_fallback(async || Problem::from(method_not_allowed()))
        .route_layer(from_fn(remember_route))
        .fallback(async || Problem::from(Error::not_found()))
        .with_state(app)
}

fn method_not_allowed() -> Error {
    Error::new(Kind::MethodNotAllowed, "method_not_allowed", "This method does not exist here.")
}
