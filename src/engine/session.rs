//! A session: one instance, one store, and what is done between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::state::{FingerprintKey, Journal, Ledger, Store};
use super::survey::fingerprints;
use super::{About, Desired, Error, Inventory, SavedPlan, Survey, Targets, claims, secrets};
use crate::config::Roots;
use crate::core::{Address, Entry, Live, Plan, Reported};
use crate::live::gitlab::{Client, Settings};
use crate::live::secrets::Secrets;

/// One instance and the state that is kept for it.
pub struct Session {
    /// The instance's URL.
    pub url: url::Url,
    /// Which GitLab it is, and who is asking.
    pub about: About,
    /// The way to it.
    pub client: Client,
    /// Where state is kept.
    pub store: Store,
    /// Makes the store's fingerprints.
    pub key: FingerprintKey,
    /// Resolves references to secrets.
    pub secrets: Arc<Secrets>,
}

/// A plan, and what it was made from.
pub struct Planned {
    /// What is there and what is asked.
    pub survey: Survey,
    /// What is to be done.
    pub plan: Plan,
    /// What rules in report mode would change.
    pub reported: Vec<Reported>,
}

impl Session {
    /// Connects, and asks GitLab what it is.
    ///
    /// # Errors
    /// When GitLab does not answer, is too old, or the store cannot be used.
    pub async fn open(settings: Settings, store: Store, secrets: Arc<Secrets>) -> Result<Self, Error> {
        let url = settings.url.clone();
        let client = Client::connect(settings)?;
        let about = About::read(&client.reader(), url.as_str()).await?;
        let key = store.fingerprint_key().await?;
        Ok(Session {
            url,
            about,
            client,
            store,
            key,
            secrets,
        })
    }

    /// Lists what the rules of a config may be for.
    ///
    /// # Errors
    /// When it cannot be listed whole.
    pub async fn inventory(&self, roots: &Roots) -> Result<Inventory, Error> {
        Inventory::list(&self.client.reader(), roots, self.about.admin).await
    }

    /// Surveys what is desired, and plans. What is secret is compared only where it `resolves`.
    ///
    /// # Errors
    /// When GitLab does not answer, a target names nothing, or resources need each other in a circle.
    pub async fn plan(&self, desired: &Desired, targets: &Targets, resolves: bool) -> Result<Planned, Error> {
        let ledger = self.store.load().await?;
        // What was remembered may have been written since.
        let reader = self.client.reader();
        let secrets = resolves.then_some(&*self.secrets);
        let about = self.about.clone();
        let survey = Survey::make(&reader, about, desired, ledger, targets, secrets, &self.key).await?;
        let plan = survey.plan(&self.key)?;
        let reported = survey.reported(&plan, desired, &self.key)?;
        Ok(Planned {
            survey,
            plan,
            reported,
        })
    }

    /// Reads again what a saved plan touches, and checks that nothing of it moved.
    ///
    /// # Errors
    /// When something moved, or GitLab does not answer.
    pub async fn recheck(&self, saved: &SavedPlan) -> Result<(Ledger, BTreeMap<Address, Live>), Error> {
        let mut ledger = self.store.load().await?;
        let reach = saved.reach(&ledger);
        let mut live = reach.observe(&self.client.reader(), &self.about).await?;
        let touched: BTreeSet<&Address> = saved.plan.steps.iter().map(|step| &step.address).collect();
        claims::settle(&mut ledger, &mut live, &touched);
        saved.check(&live, &ledger, &self.key)?;
        Ok((ledger, live))
    }

    /// Brings the ledger up to date after a run. Nothing is written where nothing changed.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn conclude(&self, journal: Option<&Journal>, survey: Option<&Survey>) -> Result<(), Error> {
        let before = self.store.load().await?;
        let mut ledger = match (journal, survey) {
            (Some(journal), _) => journal.ledger(),
            (None, Some(survey)) => survey.ledger.clone(),
            (None, None) => return Ok(()),
        };
        if let Some(survey) = survey {
            self.refresh(&mut ledger.resources, survey);
        }
        ledger.serial = before.serial;
        if journal.is_some() || ledger != before || before.serial == 0 {
            self.store.save(ledger).await?;
        }
        Ok(())
    }

    /// Records of what is as declared that it is: the config may have come to say what was live already.
    fn refresh(&self, resources: &mut BTreeMap<Address, Entry>, survey: &Survey) {
        for (address, wanted) in &survey.wanted {
            let Some(Live::Present(found)) = survey.live.get(address) else {
                continue;
            };
            let Some(entry) = resources.get_mut(address).filter(|entry| entry.id == found.id) else {
                continue;
            };
            let prints = fingerprints(&self.key, address, &wanted.value, &found.value);
            entry.fingerprints.extend(prints);
            let secrets = secrets::prints_as_asked(&self.key, address, wanted, found);
            entry.fingerprints.extend(secrets);
        }
    }
}
