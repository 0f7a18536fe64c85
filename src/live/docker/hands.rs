//! Changing what the Engine has.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerUpdateBody, NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StopContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::StreamExt;

use super::{Error, Looker};

/// The way to a Docker Engine that changes what it has.
#[derive(Clone)]
pub struct Hands(Looker);

impl Hands {
    /// Hands where `looker` looks.
    pub fn new(looker: Looker) -> Self {
        Hands(looker)
    }

    /// The way to look.
    pub fn looker(&self) -> &Looker {
        &self.0
    }

    /// Makes a network.
    ///
    /// # Errors
    /// When the Engine refuses.
    pub async fn create_network(&self, name: &str, labels: HashMap<String, String>) -> Result<(), Error> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        };
        let made = self.0.docker.create_network(request).await;
        made.map_err(|cause| Error::new(format!("make the network {name}"), cause))?;
        Ok(())
    }

    /// Makes a volume.
    ///
    /// # Errors
    /// When the Engine refuses.
    pub async fn create_volume(&self, name: &str, labels: HashMap<String, String>) -> Result<(), Error> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        let made = self.0.docker.create_volume(request).await;
        made.map_err(|cause| Error::new(format!("make the volume {name}"), cause))?;
        Ok(())
    }

    /// Makes a container, and gives its id.
    ///
    /// # Errors
    /// When the Engine refuses.
    pub async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, Error> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made = self.0.docker.create_container(Some(options), body).await;
        let made = made.map_err(|cause| Error::new(format!("make the container {name}"), cause))?;
        Ok(made.id)
    }

    /// Starts a container.
    ///
    /// # Errors
    /// When the Engine refuses.
    pub async fn start(&self, container: &str) -> Result<(), Error> {
        let started = self.0.docker.start_container(container, None).await;
        started.map_err(|cause| Error::new(format!("start the container {container}"), cause))
    }

    /// Stops a container, and kills it when it has not ended after so many seconds.
    ///
    /// # Errors
    /// When the Engine refuses.
    pub async fn stop(&self, container: &str, seconds: i32) -> Result<(), Error> {
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        // The Engine answers once it has stopped.
        let patience = Duration::from_secs(u64::try_from(seconds).unwrap_or_default() + 30);
        let docker = self.0.docker.clone().with_timeout(patience);
        let stopped = docker.stop_container(container, Some(options)).await;
        stopped.map_err(|cause| Error::new(format!("stop the container {container}"), cause))
    }

    /// Removes a container that has ended. Its volumes stay.
    ///
    /// # Errors
    /// When the Engine refuses.
    pub async fn remove(&self, container: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::new().v(false).force(false).build();
        let removed = self.0.docker.remove_container(container, Some(options)).await;
        removed.map_err(|cause| Error::new(format!("remove the container {container}"), cause))
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// When the Engine refuses.
    pub async fn rename(&self, container: &str, name: &str) -> Result<(), Error> {
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        let renamed = self.0.docker.rename_container(container, options).await;
        renamed.map_err(|cause| Error::new(format!("rename the container {container} to {name}"), cause))
    }

    /// Changes the limits of a container while it runs.
    ///
    /// # Errors
    /// When the Engine refuses.
    pub async fn update(&self, container: &str, body: ContainerUpdateBody) -> Result<(), Error> {
        let updated = self.0.docker.update_container(container, body).await;
        updated.map_err(|cause| Error::new(format!("change the limits of the container {container}"), cause))
    }

    /// Fetches an image from its registry. `heard` is given what the Engine says of it.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn pull(&self, image: &str, mut heard: impl FnMut(&str)) -> Result<(), Error> {
        let options = CreateImageOptionsBuilder::new().from_image(image).build();
        let mut progress = self.0.docker.create_image(Some(options), None, None);
        while let Some(step) = progress.next().await {
            let step = step.map_err(|cause| Error::new(format!("pull the image {image}"), cause))?;
            if let Some(status) = step.status {
                heard(&status);
            }
        }
        Ok(())
    }

    /// Puts the content of a tar archive into a directory of a container, running or not.
    ///
    /// # Errors
    /// When the Engine refuses.
    pub async fn put(&self, container: &str, directory: &str, archive: Vec<u8>) -> Result<(), Error> {
        let options = UploadToContainerOptionsBuilder::new().path(directory).build();
        let body = bollard::body_full(archive.into());
        let put = self
            .0
            .docker
            .upload_to_container(container, Some(options), body)
            .await;
        put.map_err(|cause| Error::new(format!("write {directory} of the container {container}"), cause))
    }
}
