//! What the variables of a container hold.

use std::{collections::BTreeMap, sync::Arc};

use kfcheck::{Cx, FactError, Fault, Named, Resource};
use kfcheck_kube::{ConfigMap, Container, Object, Sealed, Secret, SourceName, find, resource};

/// The variables of a container, as far as it is known where they come from.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, Variable>,
    /// ConfigMaps of which all entries are variables; not all of their names are kept.
    open: bool,
    /// Why there may be more variables, or others.
    missing: Option<FactError>,
}

/// A variable, and where its value is from.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its value, if that is public.
    pub value: Option<String>,
    /// The object that has it; nothing where the container itself does.
    pub from: Option<Resource>,
    entry: Option<(Arc<Secret>, String)>,
}

impl Variable {
    /// What an OAuth client shows for being itself, if the variable holds it.
    pub fn client_secret(&self) -> Option<Sealed> {
        let (secret, key) = self.entry.as_ref()?;
        secret.client_secret(key)
    }

    /// The Secret and the entry that it is from.
    pub fn entry(&self) -> Option<(&Secret, &str)> {
        self.entry.as_ref().map(|(secret, key)| (&**secret, key.as_str()))
    }

    fn of_secret(secret: &Arc<Secret>, key: &str) -> Self {
        Self {
            value: secret.public(key).map(str::to_owned),
            from: Some(secret.resource()),
            entry: Some((Arc::clone(secret), key.to_owned())),
        }
    }

    fn of_map(map: &ConfigMap, key: &str) -> Self {
        let value = map.proxy.0.get(key).cloned();
        Self { value, from: Some(map.resource()), entry: None }
    }
}

impl Environment {
    /// That of a container in `namespace`.
    pub(crate) async fn of(cx: &Cx, namespace: &str, container: &Container) -> Self {
        let mut found = Self::default();
        for source in &container.env_from {
            let prefix = &source.prefix;
            if let Some(secret) =
                found.object::<Secret>(cx, namespace, source.secret_ref.as_ref()).await
            {
                for key in secret.entries.keys() {
                    found
                        .variables
                        .insert(format!("{prefix}{key}"), Variable::of_secret(&secret, key));
                }
            }
            let map =
                found.object::<ConfigMap>(cx, namespace, source.config_map_ref.as_ref()).await;
            if let Some(map) = map {
                found.open = true;
                for key in map.proxy.0.keys() {
                    found.variables.insert(format!("{prefix}{key}"), Variable::of_map(&map, key));
                }
            }
        }
        for variable in &container.env {
            let from = variable.value_from.clone().unwrap_or_default();
            let named = |entry: &kfcheck_kube::EntryOf| SourceName { name: entry.name.clone() };
            let held = if let Some(entry) = &from.secret_key_ref {
                let secret = found.object::<Secret>(cx, namespace, Some(&named(entry))).await;
                secret.map(|secret| Variable::of_secret(&secret, &entry.key))
            } else if let Some(entry) = &from.config_map_key_ref {
                let map = found.object::<ConfigMap>(cx, namespace, Some(&named(entry))).await;
                map.map(|map| Variable::of_map(&map, &entry.key))
            } else {
                None
            };
            // It may be made of those before it.
            let value = variable.value.as_deref().and_then(|value| found.resolve(value).ok());
            let own = Variable { value, from: None, entry: None };
            found.variables.insert(variable.name.clone(), held.unwrap_or(own));
        }
        found
    }

    /// An object that variables come from, if it is there; what can't be seen is noted.
    async fn object<K: Object>(
        &mut self,
        cx: &Cx,
        namespace: &str,
        named: Option<&SourceName>,
    ) -> Option<Arc<K>> {
        match find::<K>(cx, namespace, &named?.name).await {
            Ok(found) => found,
            Err(error) => {
                self.missing.get_or_insert(error);
                None
            }
        }
    }

    /// A variable, if it is there.
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.variables.get(name)
    }

    /// A variable that is there, or why that isn't known.
    pub fn known(&self, name: &str) -> Result<Option<&Variable>, FactError> {
        let found = self.variables.get(name);
        if found.is_none() {
            self.whole()?;
            if is_given(name) {
                let says = format!("{name} may be set by the image or by Kubernetes");
                return Err(Fault::Unreachable(says).into());
            }
        }
        Ok(found)
    }

    /// Whether there is a variable with such a name, or why that isn't known. No error names one.
    pub(crate) fn has_any(&self, is: impl Fn(&str) -> bool) -> Result<bool, FactError> {
        if self.variables.keys().any(|name| is(name)) {
            return Ok(true);
        }
        self.whole().map(|()| false)
    }

    /// Why there may be variables beside those that are known. What is looked for may be a part of a
    /// password and is not in it.
    fn whole(&self) -> Result<(), FactError> {
        if let Some(error) = &self.missing {
            return Err(error.clone());
        }
        if self.open {
            let says = "not all variables that come from a ConfigMap were kept".to_owned();
            return Err(Fault::Unreachable(says).into());
        }
        Ok(())
    }

    /// The value of a variable, if that is public.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name)?.value.as_deref()
    }

    /// What Kubernetes makes of an argument or a value in which variables stand as `$(NAME)`
    /// (documentation, "Define Environment Variables for a Container").
    pub(crate) fn resolve(&self, text: &str) -> Result<String, FactError> {
        let mut done = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            done += before;
            let named = after.strip_prefix('(').and_then(|inside| inside.split_once(')'));
            if let Some((name, end)) = named {
                match self.known(name)? {
                    Some(Variable { value: Some(value), .. }) => done += value,
                    Some(_) => {
                        let says = format!("the value of variable {name} was not kept");
                        return Err(Fault::Unreachable(says).into());
                    }
                    None => done += &format!("$({name})"),
                }
                rest = end;
            } else {
                done.push('$');
                rest = after.strip_prefix('$').unwrap_or(after);
            }
        }
        Ok(done + rest)
    }

    /// What could not be seen of it.
    pub fn missing(&self) -> Option<&FactError> {
        self.missing.as_ref()
    }
}

/// Whether a container may have a variable that nobody gave it: images have some, and Kubernetes tells
/// the Services of the namespace (documentation, "Discovering services").
fn is_given(name: &str) -> bool {
    let of_services = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"];
    ["HOME", "PATH", "HOSTNAME"].contains(&name)
        || name.starts_with("KUBERNETES_")
        || of_services.iter().any(|part| name.contains(part))
}

/// What kubectl calls the kind of an object.
pub(crate) fn kubectl_name(object: &Resource) -> String {
    let namespace = object.namespace.as_deref().unwrap_or("default");
    format!("{} -n {namespace} {}", object.kind.to_lowercase(), object.name)
}

/// The workload of this name.
pub(crate) fn workload(kind: &'static str, namespace: &str, name: &str) -> Resource {
    resource(kind, Some(namespace), name)
}

#[cfg(test)]
mod tests {
    use super::{Environment, Variable};

    #[test]
    fn variables_are_put_in_as_kubernetes_does_it() {
        let mut environment = Environment::default();
        let variable = |value: Option<&str>| Variable {
            value: value.map(str::to_owned),
            from: None,
            entry: None,
        };
        environment.variables.insert("SET".into(), variable(Some("yes")));
        environment.variables.insert("SECRET".into(), variable(None));
        for (text, expected) in [
            ("plain", "plain"),
            ("a-$(SET)/b", "a-yes/b"),
            ("$(NONE)", "$(NONE)"),
            ("$$(SET)", "$(SET)"),
            ("a$b$", "a$b$"),
            ("$(open", "$(open"),
        ] {
            assert_eq!(environment.resolve(text).unwrap(), expected, "{text}");
        }
        assert!(environment.resolve("a$(SECRET)").is_err());
    }
}
