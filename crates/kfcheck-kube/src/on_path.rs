use std::{collections::BTreeSet, marker::PhantomData, sync::Arc};

use futures::future::join_all;
use kfcheck::{Cx, Fact, FactError, Findings, Path};
use serde::Serialize;

use crate::{Object, one, within};

/// The objects of a kind that a request depends on, from whatever namespaces they are in.
#[derive(Serialize)]
pub struct OnPath<K>(#[serde(skip)] PhantomData<fn() -> K>);

/// The objects of a kind that a request depends on.
pub fn on_path<K: Object>() -> OnPath<K> {
    OnPath(PhantomData)
}

impl<K> Clone for OnPath<K> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

/// Objects, and why there may be more of them.
pub struct Found<K> {
    objects: Vec<Arc<K>>,
    missing: Vec<FactError>,
}

impl<K> Found<K> {
    /// The objects; what could not be seen is noted in `out`.
    pub fn seen(&self, out: &mut Findings) -> &[Arc<K>] {
        self.missing.iter().for_each(|error| out.unseen(error.clone()));
        &self.objects
    }

    /// The objects, for whoever has noted already what could not be seen.
    pub fn objects(&self) -> &[Arc<K>] {
        &self.objects
    }
}

impl<K: Object> Fact for OnPath<K> {
    const NAME: &'static str = K::ON_PATH;
    type Value = Found<K>;

    async fn fetch(&self, cx: &Cx) -> Result<Found<K>, FactError> {
        Ok(Found::of(cx, &*cx.path().await?).await)
    }
}

impl<K: Object> Found<K> {
    /// The objects that are drawn in `path`.
    pub async fn of(cx: &Cx, path: &Path) -> Self {
        let resources = path.of_kind("kubernetes", K::CALLED);
        let namespaces: BTreeSet<_> = resources.iter().map(|r| r.namespace.as_deref()).collect();
        let asked = join_all(namespaces.into_iter().map(|namespace| async move {
            match namespace {
                Some(namespace) => cx.get(within::<K>(namespace)).await,
                None => cx.get(crate::all::<K>()).await,
            }
        }));
        let mut found = Self { objects: Vec::new(), missing: Vec::new() };
        for answer in asked.await {
            match answer {
                Ok(all) => {
                    let drawn = all.iter().filter(|object| resources.contains(&object.resource()));
                    found.objects.extend(drawn.cloned());
                }
                Err(error) => found.missing.push(error),
            }
        }
        found
    }
}

/// The object of a kind that has this name, if there is one.
pub async fn find<K: Object>(
    cx: &Cx,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<K>>, FactError> {
    Ok(cx.get(one::<K>(namespace, name)).await?.first().cloned())
}
