//! An instance that no config deploys any more: found by what AutoGit kept of it, and removed only if AutoGit made it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bollard::models::ContainerInspectResponse;
use url::Url;

use super::container::{LABEL, STOP_WITHIN};
use super::place::MOUNT;
use super::sight::Sight;
use super::{Error, Heard, Place, rules};
use crate::core::planner::{self, Inputs};
use crate::core::{Action, Address, Entry, Live, Plan, Present, Step};
use crate::live::docker::{self, Hands, Looker};

/// A container that no config declares any more.
pub struct Left {
    place: Place,
    name: String,
    looker: Looker,
}

/// Where things are kept of an instance at `url` that is not deployed any more.
pub fn left_at(state: &Path, url: &Url) -> Option<Place> {
    let entries = std::fs::read_dir(state.join("deploy")).ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut places = names.map(|name| Place::new(state, &name));
    places.find(|place| {
        place
            .read_host()
            .ok()
            .flatten()
            .is_some_and(|host| host.url == *url)
    })
}

impl Left {
    /// Connects to the Docker Engine that the container `name` was made on. `state` is AutoGit's directory beside the config.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn open(state: &Path, name: &str) -> Result<Self, Error> {
        let place = Place::new(state, name);
        let host = place.read_host()?.map(|host| host.docker);
        Ok(Left {
            looker: Looker::connect(&docker::host(host.as_deref())).await?,
            name: name.to_owned(),
            place,
        })
    }

    /// What becomes of it: it goes if AutoGit made it and `prunes`, and otherwise stays and is not managed any more.
    ///
    /// # Errors
    /// When Docker or what AutoGit keeps cannot be read.
    pub async fn plan(&self, address: &Address, entry: &Entry, prunes: bool) -> Result<Plan, Error> {
        let found = self.looker.container(&self.name).await?;
        let live = match &found {
            None => Live::Absent,
            Some(found) => Live::Present(Present {
                id: self.identity(found)?,
                ..Present::default()
            }),
        };
        let plan = planner::plan(&Inputs {
            wanted: &BTreeMap::new(),
            live: &BTreeMap::from([(address.clone(), live)]),
            ledger: &BTreeMap::from([(address.clone(), entry.clone())]),
            rules: &[rules::RULES],
            prunes_owned: prunes,
            complete: &BTreeSet::new(),
            spared: &BTreeSet::new(),
            partial: false,
            fingerprint: &|_, _, _| String::new(),
        });
        let mut plan = plan.expect("one resource alone needs no other");
        for step in &mut plan.steps {
            step.notes.push(self.note(step.action, found.clone()));
        }
        Ok(plan)
    }

    fn identity(&self, found: &ContainerInspectResponse) -> Result<String, Error> {
        let label = found
            .config
            .as_ref()
            .and_then(|config| config.labels.as_ref()?.get(LABEL));
        let own = self.place.own_id()?.filter(|own| label == Some(own));
        Ok(own.or_else(|| found.id.clone()).unwrap_or_default())
    }

    /// What stays, by name.
    fn note(&self, action: Action, found: Option<ContainerInspectResponse>) -> String {
        let place = self.place.root().display();
        if action != Action::Delete {
            return format!("the container and its data stay as they are, and so does {place}");
        }
        let sight = Sight::new(found.unwrap_or_default());
        let mut stays: Vec<String> = sight
            .mounts()
            .into_iter()
            .filter(|(path, _)| path != MOUNT)
            .map(|(_, source)| source)
            .collect();
        let networks: BTreeSet<_> = sight.networks.into_keys().collect();
        stays.extend(networks.iter().map(|network| format!("the network {network}")));
        format!(
            "removes the container; its data stay, with which it comes back when it is deployed again: {}, {place}",
            stays.join(", ")
        )
    }

    /// Does what is planned.
    ///
    /// # Errors
    /// When Docker refuses.
    pub async fn carry_out(&self, step: &Step, heard: &dyn Heard) -> Result<(), Error> {
        if step.action != Action::Delete {
            return Ok(());
        }
        let hands = Hands::new(self.looker.clone());
        // One that was being replaced is of the same instance.
        let aside = self.place.being_replaced()?;
        for container in [Some(self.name.clone()), aside].into_iter().flatten() {
            let Some(found) = self.looker.container(&container).await? else {
                continue;
            };
            if found.state.and_then(|state| state.running) == Some(true) {
                heard.phase(&format!("stopping the container {}", self.name));
                hands.stop(&container, STOP_WITHIN).await?;
            }
            hands.remove(&container).await?;
        }
        Ok(())
    }
}
