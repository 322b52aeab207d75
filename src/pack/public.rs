//! What needs no sign-in. Whoever has not signed in holds the permissions of all that is public, so these must open nothing
//! else: then there is nothing else that he can reach.

use std::collections::BTreeSet;

use super::check::VERBS;
use super::manifest::{Manifest, Method, ResourceEntry};
use super::source::Pack;

/// The verb of the permission for a method.
fn verb(method: Method) -> &'static str {
    match method {
        Method::List | Method::Get => "view",
        Method::Create => "create",
        Method::Update => "edit",
        Method::Delete => "delete",
    }
}

impl Manifest {
    /// The permission codes of what is public.
    pub fn public_permissions(&self) -> BTreeSet<String> {
        self.public().into_iter().map(|(_, code)| code).collect()
    }

    /// What is public: the header of its section, and its permission code.
    fn public(&self) -> BTreeSet<(String, String)> {
        let reports = self.report.iter().filter(|(_, report)| report.public);
        let mut all: BTreeSet<_> =
            reports.map(|(name, report)| (format!("[report.{name}]"), report.permission.clone())).collect();
        for (name, resource) in &self.resource {
            let code = |method: &Method| (format!("[resource.{name}]"), resource.permission(name, verb(*method)));
            all.extend(resource.public.iter().map(code));
            let actions = resource.action.iter().filter(|(_, action)| action.public);
            all.extend(
                actions.map(|(action, entry)| (format!("[resource.{name}.action.{action}]"), entry.permission.clone())),
            );
        }
        all
    }

    /// What else a permission code opens.
    fn opened_besides(&self, code: &str) -> Option<String> {
        let report = self.report.iter().find(|(_, report)| !report.public && report.permission == code);
        let resource = || self.resource.iter().find_map(|(name, resource)| resource.opened_besides(name, code));
        report.map(|(name, _)| format!("the report `{name}`")).or_else(resource)
    }
}

impl ResourceEntry {
    fn opened_besides(&self, name: &str, code: &str) -> Option<String> {
        let method = self
            .methods
            .iter()
            .find(|method| !self.public.contains(method) && self.permission(name, verb(**method)) == code);
        let listed = self.methods.contains(&Method::List);
        let beyond = VERBS[4..].iter().find(|verb| listed && self.permission(name, verb) == code);
        let action = self.action.iter().find(|(_, action)| !action.public && action.permission == code);
        method
            .map(|method| format!("`{}` of `{name}`", verb(*method)))
            .or_else(|| beyond.map(|verb| format!("`{verb}` of `{name}`")))
            .or_else(|| action.map(|(action, _)| format!("the action `{name}.{action}`")))
    }
}

/// What is public must be so wholly, and made by a function where it makes something.
pub fn check(packs: &[Pack], manifest: &Manifest, complain: &mut impl FnMut(&str, String)) {
    for (name, resource) in &manifest.resource {
        for method in &resource.public {
            let header = format!("[resource.{name}]");
            if !resource.methods.contains(method) {
                complain(&header, format!("resource `{name}`: what is `public` must be among its `methods`"));
            }
            match method {
                Method::List | Method::Get => {}
                Method::Create if resource.create.is_some() => {}
                Method::Create => complain(&header, format!("resource `{name}`: a public `create` needs a function")),
                Method::Update | Method::Delete => {
                    complain(&header, format!("resource `{name}`: only list, get and create can be public"));
                }
            }
        }
    }
    for (header, code) in manifest.public() {
        let opened = packs.iter().find_map(|pack| pack.manifest.opened_besides(&code));
        if let Some(what) = opened {
            complain(&header, format!("the permission `{code}` is for anybody, and opens {what}, which is not public"));
        }
    }
}
