//! Demo tenants: believable data to try everything with.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use uuid::Uuid;

use super::provision::{NewTenant, Owner, Term, tenant_create};
use super::{Platform, modules};
use crate::auth::{OperatorRole, new_owner_sql, operator_create, password::PasswordHasher};
use crate::db::{By, Place};
use crate::error::{Error, Result};
use crate::ident::Subdomain;
use crate::tenant::Tenants;

/// Everybody's password in a demo. `insula dev` listens on loopback only.
pub const DEMO_PASSWORD: &str = "insula-demo";

/// Address of the demo's operator.
pub const DEMO_OPERATOR: &str = "operator@insula.test";

/// A demo tenant and who can sign in there.
#[derive(Debug, Serialize)]
pub struct DemoTenant {
    /// Key.
    pub id: Uuid,
    /// Name in URLs.
    pub subdomain: String,
    /// Users, the owner first.
    pub users: Vec<DemoUser>,
}

/// A user of a demo tenant.
#[derive(Debug, Serialize)]
pub struct DemoUser {
    /// Address.
    pub email: String,
    /// Password.
    pub password: &'static str,
    /// Code of the role.
    pub role: &'static str,
}

struct Plot {
    subdomain: &'static str,
    name: &'static str,
    plan: &'static str,
    /// Mailbox, role, first name, last name; the owner first.
    people: &'static [(&'static str, &'static str, &'static str, &'static str)],
}

const DEMO: [Plot; 5] = [
    Plot {
        subdomain: "acme",
        name: "Acme Industrial Supplies",
        plan: "crm",
        people: &[
            ("owner", "owner", "Ananya", "Rao"),
            ("admin", "admin", "Vikram", "Shah"),
            ("manager", "manager", "Meera", "Iyer"),
            ("sales1", "salesperson", "Arjun", "Nair"),
            ("sales2", "salesperson", "Sara", "Thomas"),
        ],
    },
    Plot {
        subdomain: "techstart",
        name: "TechStart Solutions",
        plan: "crm",
        people: &[
            ("owner", "owner", "Rohan", "Mehta"),
            ("admin", "admin", "Lena", "Fischer"),
            ("manager", "manager", "Kabir", "Singh"),
            ("sales1", "salesperson", "Priya", "Menon"),
            ("sales2", "salesperson", "Daniel", "Okafor"),
        ],
    },
    Plot {
        subdomain: "testcompany",
        name: "Test Company Trading",
        plan: "starter",
        people: &[
            ("owner", "owner", "Fatima", "Khan"),
            ("admin", "admin", "Joseph", "Mathew"),
            ("manager", "manager", "Isha", "Gupta"),
            ("picker", "picker", "Ravi", "Kumar"),
            ("shop", "storefront", "Web", "Shop"),
        ],
    },
    Plot {
        subdomain: "multistore",
        name: "Multistore Retail",
        plan: "sales",
        people: &[
            ("owner", "owner", "Neha", "Kapoor"),
            ("admin", "admin", "Thomas", "George"),
            ("manager", "manager", "Farah", "Ali"),
            ("accountant", "accountant", "Suresh", "Pillai"),
            ("sales1", "salesperson", "Divya", "Reddy"),
            ("sales2", "salesperson", "Karan", "Bose"),
        ],
    },
    Plot {
        subdomain: "greenwood",
        name: "Greenwood School",
        plan: "school_plus",
        people: &[
            ("owner", "owner", "Sudha", "Murthy"),
            ("admin", "school_admin", "Peter", "D'Souza"),
            ("principal", "principal", "Lakshmi", "Raman"),
            ("teacher", "teacher", "Asha", "Pillai"),
            ("student", "student", "Aarav", "Das"),
            ("parent", "parent", "Rekha", "Das"),
            ("accountant", "accountant", "Mohan", "Hegde"),
            ("reception", "receptionist", "Tina", "Pinto"),
        ],
    },
];

/// Makes the demo's tenants and operator where they are missing, and fills what is not filled; gives all of them.
pub async fn seed_demo(platform: &Platform, tenants: &Tenants, hasher: &PasswordHasher) -> Result<Vec<DemoTenant>> {
    let hash = hasher.hash(DEMO_PASSWORD.to_owned()).await?;
    match operator_create(&platform.database, &by_demo(), DEMO_OPERATOR, "Demo Operator", OperatorRole::Owner, &hash)
        .await
    {
        Err(error) if error.code() != "conflict" => return Err(error),
        _ => {}
    }
    let most = platform.database.control_connections().saturating_sub(1).max(1);
    let tenants = DEMO.iter().map(|plot| seed(platform, tenants, plot, plot.subdomain, &hash));
    stream::iter(tenants).buffered(most.min(DEMO.len())).try_collect().await
}

/// Makes and fills a tenant that is like one of the demo, under a name of its own.
pub async fn seed_twin(
    platform: &Platform,
    tenants: &Tenants,
    hasher: &PasswordHasher,
    like: &str,
    subdomain: &str,
) -> Result<DemoTenant> {
    let plot = DEMO.iter().find(|plot| plot.subdomain == like);
    let plot = plot.ok_or_else(|| Error::malformed(format!("The demo has no tenant `{like}`.")))?;
    let hash = hasher.hash(DEMO_PASSWORD.to_owned()).await?;
    seed(platform, tenants, plot, subdomain, &hash).await
}

async fn seed(platform: &Platform, tenants: &Tenants, plot: &Plot, subdomain: &str, hash: &str) -> Result<DemoTenant> {
    let place = match tenants.by_subdomain(subdomain).await {
        Ok(tenant) => tenant.place.clone(),
        Err(error) if error.code() == "tenant_not_found" => create(platform, plot, subdomain, hash).await?,
        Err(error) => return Err(error),
    };
    let id = place.tenant;
    tenants.forget_new(id, subdomain);
    let users = plot.users(subdomain);
    fill(platform, &place, plot, &users, hash).await?;
    Ok(DemoTenant { id, subdomain: subdomain.to_owned(), users })
}

fn by_demo() -> By {
    By { name: "demo".to_owned(), origin: None }
}

impl Plot {
    fn users(&self, subdomain: &str) -> Vec<DemoUser> {
        let user = |&(mailbox, role, ..): &(&str, &'static str, &str, &str)| DemoUser {
            email: format!("{mailbox}@{subdomain}.test"),
            password: DEMO_PASSWORD,
            role,
        };
        self.people.iter().map(user).collect()
    }
}

async fn create(platform: &Platform, plot: &Plot, subdomain: &str, hash: &str) -> Result<Arc<Place>> {
    let [(mailbox, _, first_name, last_name), ..] = plot.people else {
        return Err(Error::internal("a demo tenant without people"));
    };
    let owner = Owner {
        email: format!("{mailbox}@{subdomain}.test"),
        first_name: (*first_name).to_owned(),
        last_name: (*last_name).to_owned(),
        password_hash: Some(hash.to_owned()),
    };
    let new = NewTenant {
        subdomain: Subdomain::new(subdomain)?,
        name: plot.name.to_owned(),
        plan: plot.plan.to_owned(),
        term: Term::Active,
        owner,
        by: by_demo(),
    };
    Ok(tenant_create(platform, new).await?.place)
}

/// The owner's colleagues and the demo data of every installed pack, once. They come in one transaction and people are
/// never removed, so a tenant with an owner only was left by a process that died before this.
async fn fill(platform: &Platform, place: &Place, plot: &Plot, users: &[DemoUser], hash: &str) -> Result<()> {
    let mut tx = platform.database.control().await?.begin().await?;
    tx.take_time().await?;
    modules::lock_tenant(&mut tx, place.tenant).await?;
    tx.batch(&modules::seat_sql(place)).await?;
    let filled = tx.query("select count(*) > 1 from sys_user", &[]).await?[0].get(0);
    tx.batch(modules::LEAVE_SEAT).await?;
    if filled {
        tx.rollback().await?;
        return Ok(());
    }
    let colleagues = plot.people.iter().zip(users).skip(1);
    let people: String = colleagues
        .map(|((_, role, first, last), user)| new_owner_sql(&user.email, first, last, role, Some(hash)))
        .collect();
    let rows = tx.query("select pack from public.tenant_packs where tenant_id = $1", &[&place.tenant]).await?;
    let installed: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut sql = modules::seat_sql(place);
    sql.push_str(&people);
    for pack in platform.catalog.packs().iter().filter(|pack| installed.contains(&pack.manifest.code)) {
        sql.push_str(pack.demo.as_deref().unwrap_or_default());
    }
    sql.push_str(modules::LEAVE_SEAT);
    tx.batch(&sql).await?;
    Ok(tx.commit().await?)
}
