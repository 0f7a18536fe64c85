//! The site: what is there, beside what is to be.

use futures_util::try_join;
use jiff::Timestamp;

use super::upgrade::Versions;
use super::{Blueprint, Error, Instance, observe, preflight, tls};
use crate::core::{Live, Problem};
use crate::live::docker::Engine;

/// What was found, and what follows from what is declared.
#[derive(Clone, Debug)]
pub struct Site {
    /// The Docker Engine.
    pub engine: Engine,
    /// What is to be.
    pub blueprint: Blueprint,
    /// What is there.
    pub live: Live,
    /// What stands in the way.
    pub problems: Vec<Problem>,
    /// What there is to know before it is brought about.
    pub notes: Vec<String>,
    /// The version that its data is of, and the one that is declared.
    pub versions: Versions,
    /// Whether there is no data of an instance yet, so that what comes up is empty.
    pub is_new: bool,
}

impl Instance {
    /// Reads Docker, the host, and the files that AutoGit keeps. Changes nothing.
    ///
    /// # Errors
    /// When Docker does not answer.
    pub async fn survey(&self) -> Result<Site, Error> {
        let blueprint = Blueprint::new(&self.spec, &self.url, &self.place);
        let engine = async { Ok(self.looker.engine().await?) };
        let (engine, mut live) = try_join!(engine, observe::observe(self, &blueprint))?;
        if let (Live::Present(present), Some(hosts)) = (&mut live, &blueprint.certified) {
            let found = tls::found(&self.place, hosts, Timestamp::now())?;
            present.value.insert(tls::FIELD.to_owned(), found);
        }
        let ((problems, notes), versions) = try_join!(
            preflight::check(self, &engine, &blueprint, &live),
            Versions::read(self, &engine, &blueprint, &live),
        )?;
        let is_new = matches!(live, Live::Absent) && !observe::has_data(self, &blueprint).await?;
        Ok(Site {
            engine,
            blueprint,
            live,
            problems,
            notes,
            versions,
            is_new,
        })
    }
}
