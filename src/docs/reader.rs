//! For whom a document is made.

use std::collections::BTreeSet;

use crate::access::Permissions;
use crate::auth::OperatorRole;
use crate::pack::{Action, Method, Report, Resource, Verb};

/// For whom a document is made.
#[derive(Debug, Clone)]
pub enum Reader {
    /// Nobody in particular, on the apex domain.
    Visitor,
    /// Nobody in particular, at a tenant's address: what its modules have for anybody.
    TenantVisitor(Grants),
    /// A user of a tenant.
    User(Grants),
    /// Nobody in particular, at the operators' address.
    StaffVisitor,
    /// An operator.
    Operator(OperatorRole),
}

impl Reader {
    /// Equal for readers who get the same document.
    pub fn key(&self) -> String {
        match self {
            Self::Visitor => "visitor".to_owned(),
            Self::TenantVisitor(grants) => format!("tenant visitor {}", grants.key()),
            Self::User(grants) => format!("user {}", grants.key()),
            Self::StaffVisitor => "staff visitor".to_owned(),
            Self::Operator(role) => format!("operator {}", role.as_str()),
        }
    }
}

/// What a user may do: the modules that answer, and what the roles grant.
#[derive(Debug, Clone)]
pub struct Grants {
    modules: BTreeSet<String>,
    permissions: Permissions,
    guest: bool,
}

impl Grants {
    /// Codes of the modules that answer, and granted permissions.
    pub fn new<'a>(modules: impl IntoIterator<Item = &'a str>, permissions: Permissions) -> Self {
        Self { modules: modules.into_iter().map(str::to_owned).collect(), permissions, guest: false }
    }

    /// The same for whoever has not signed in: what is public.
    #[must_use]
    pub fn of_guest(self) -> Self {
        Self { guest: true, ..self }
    }

    /// Whether nobody has signed in.
    pub fn are_a_guests(&self) -> bool {
        self.guest
    }

    fn key(&self) -> String {
        let modules: Vec<&str> = self.modules.iter().map(String::as_str).collect();
        format!("{} {}", modules.join(","), self.permissions.joined())
    }

    /// Whether a module answers.
    pub fn has(&self, module: &str) -> bool {
        self.modules.contains(module)
    }

    /// Whether the user holds a permission of a module that answers.
    pub fn hold(&self, module: &str, permission: &str) -> bool {
        self.has(module) && self.permissions.allow(permission)
    }

    /// Whether the user may reach a resource in a way that it offers.
    pub fn may(&self, resource: &Resource, method: Method) -> bool {
        self.has(&resource.module)
            && resource.methods.contains(&method)
            && (!self.guest || resource.public.contains(&method))
            && self.permissions.allow(resource.permission(verb(method)))
    }

    /// Whether the roles grant a verb, as far as the resource offers a way to it.
    pub fn may_do(&self, resource: &Resource, wanted: Verb) -> bool {
        let reads = matches!(wanted, Verb::Report | Verb::Export);
        let offered = |method: &Method| verb(*method) == if reads { Verb::View } else { wanted };
        self.has(&resource.module)
            && resource.methods.iter().any(offered)
            && self.permissions.allow(resource.permission(wanted))
    }

    /// What the roles grant.
    pub fn granted(&self) -> &Permissions {
        &self.permissions
    }

    /// Whether the user may run an action.
    pub fn may_act(&self, resource: &Resource, action: &Action) -> bool {
        self.has(&resource.module) && (!self.guest || action.public) && self.permissions.allow(&action.permission)
    }

    /// Whether the user may read a report.
    pub fn may_report(&self, report: &Report) -> bool {
        self.has(&report.module) && (!self.guest || report.public) && self.permissions.allow(&report.permission)
    }
}

fn verb(method: Method) -> Verb {
    match method {
        Method::List | Method::Get => Verb::View,
        Method::Create => Verb::Create,
        Method::Update => Verb::Edit,
        Method::Delete => Verb::Delete,
    }
}
