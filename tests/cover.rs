//! The fewest scenarios in which everything is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use kfcheck::{Event, FactMeta, Runner};

use crate::{Sky, provider_of, scenarios};

/// A scenario, and the facts to be tried in it.
pub struct Covering {
    /// Its folder.
    pub folder: PathBuf,
    /// Those that no scenario before it has answered.
    pub facts: Vec<FactMeta>,
}

/// Scenarios of a provider that together answer every fact of its, live: the largest share first. A
/// fact that is added later is among them as soon as a scenario asks for it.
pub async fn covering(provider: &str) -> Vec<Covering> {
    let mut answered: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    let mut facts = BTreeMap::new();
    for folder in scenarios() {
        let of = provider_of(&folder);
        if of.name != provider || !folder.join("bundle/kubernetes").exists() || waits(&folder) {
            continue;
        }
        facts.extend(of.facts.iter().map(|fact| (fact.name, *fact)));
        let world = crate::world(&folder.join("bundle"));
        let known = Arc::new(Mutex::new(BTreeSet::new()));
        let note = Arc::clone(&known);
        let world = world.observe(move |event| {
            if let Event::FactDone(key, None) = event {
                note.lock().expect("nobody panics").insert(key.name().to_owned());
            }
        });
        Runner::default().run(&world, &of.checks).await;
        drop(world);
        let known = known.lock().expect("nobody panics").clone();
        answered.insert(folder, known);
    }
    let mut left: BTreeSet<String> = facts.keys().map(|&name| name.to_owned()).collect();
    let mut chosen = Vec::new();
    loop {
        let best = answered.iter().max_by_key(|(_, known)| known.intersection(&left).count());
        let Some((folder, known)) = best else { break };
        let new: Vec<_> = known.intersection(&left).cloned().collect();
        if new.is_empty() {
            break;
        }
        left.retain(|name| !new.contains(name));
        let facts = new.iter().filter_map(|name| facts.get(name.as_str()).copied()).collect();
        chosen.push(Covering { folder: folder.clone(), facts });
    }
    chosen
}

/// Whether somebody in it never answers: a live run waits for that as long as the recorded one.
fn waits(folder: &Path) -> bool {
    let probes = std::fs::read_dir(folder.join("bundle/probes")).into_iter().flatten().flatten();
    let texts = probes.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts.into_iter().any(|text| text.contains("timed out") || text.contains("timeout"))
}

impl Covering {
    /// Serves it.
    pub async fn sky(&self) -> Sky {
        Sky::over(&self.folder.join("bundle")).await
    }

    /// What it is called.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}
