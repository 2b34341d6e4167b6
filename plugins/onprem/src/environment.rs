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
            let own = Variable { value: variable.value.clone(), from: None, entry: None };
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
        match (self.variables.get(name), &self.missing) {
            (Some(variable), _) => Ok(Some(variable)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) if self.open => {
                let says = format!("whether {name} is set in a ConfigMap was not kept");
                Err(Fault::Unreachable(says).into())
            }
            (None, None) => Ok(None),
        }
    }

    /// The value of a variable, if that is public.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name)?.value.as_deref()
    }

    /// What could not be seen of it.
    pub fn missing(&self) -> Option<&FactError> {
        self.missing.as_ref()
    }
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
