//! Tar archives, the form in which files go into containers and come out.

use std::io::{self, Read};

/// The content of the one file that an archive is of; `None` when it is of something else.
pub(super) fn only_file(archive: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            return Ok(Some(content));
        }
    }
    Ok(None)
}
