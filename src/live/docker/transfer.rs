//! Content that is too large for memory, into containers and out of them, and containers that are there for one task alone.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::query_parameters::{RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::{Error, Hands, Looker};

/// How long an upload may take: the Engine answers once it has everything.
const UPLOAD: Duration = Duration::from_secs(24 * 3600);

impl Looker {
    /// A file or directory of a container, as a tar archive that is read as it is asked for.
    pub fn download(
        &self,
        container: &str,
        path: &str,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let doing = format!("read {path} of the container {container}");
        self.archive(container, path)
            .map(move |chunk| chunk.map_err(|cause| io::Error::other(Error::new(doing.clone(), cause))))
    }
}

impl Hands {
    /// Puts the content of a tar archive into a directory of a container, running or not, as the archive comes.
    ///
    /// # Errors
    /// When the Engine refuses, or the archive ends with an error.
    pub async fn upload(
        &self,
        container: &str,
        directory: &str,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), Error> {
        let options = UploadToContainerOptionsBuilder::new().path(directory).build();
        let doing = format!("write {directory} of the container {container}");
        let docker = self.looker().docker.clone().with_timeout(UPLOAD);
        // The HTTP client says only that the body failed, and not why.
        let why = Arc::new(OnceLock::new());
        let noted = why.clone();
        let archive = archive.inspect_err(move |error| {
            let _ = noted.set(error.to_string());
        });
        let put = docker.upload_to_container(container, Some(options), bollard::body_try_stream(archive));
        put.await.map_err(|cause| match why.get() {
            Some(why) => Error::Refused {
                doing,
                why: why.clone(),
                status: None,
            },
            None => Error::new(doing, cause),
        })
    }

    /// Removes a container that was made for one task alone, running or not, and the volumes that have no name and nobody else.
    ///
    /// # Errors
    /// When the Engine refuses. One that is gone already is no error.
    pub async fn discard(&self, container: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::new().v(true).force(true).build();
        let removed = self
            .looker()
            .docker
            .remove_container(container, Some(options))
            .await;
        match removed.map_err(|cause| Error::new(format!("remove the container {container}"), cause)) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}
