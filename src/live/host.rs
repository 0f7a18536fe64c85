//! The host that this program runs on, where a Docker Engine of its own runs too: ports, disks, memory.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags};

/// What became of an attempt to listen on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// Nobody else does.
    Free,
    /// Somebody else does.
    Taken,
    /// It takes a right that this program has not; somebody who has it may find it free or taken.
    Forbidden,
    /// The address is none of this host's.
    NoSuchAddress,
    /// It could not be found out.
    Unknown,
}

/// Tries to listen on a TCP port, and gives it back at once.
pub fn listen(address: SocketAddr) -> Listening {
    match TcpListener::bind(address) {
        Ok(_) => Listening::Free,
        Err(error) => match error.kind() {
            io::ErrorKind::AddrInUse => Listening::Taken,
            io::ErrorKind::PermissionDenied => Listening::Forbidden,
            io::ErrorKind::AddrNotAvailable => Listening::NoSuchAddress,
            _ => Listening::Unknown,
        },
    }
}

/// The first port that takes no right to listen on; `None` where the system does not say.
pub fn unprivileged_ports() -> Option<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok()?;
    text.trim().parse().ok()
}

/// Bytes of swap; `None` where the system does not say.
pub fn swap() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("SwapTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Whether this program runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// Bytes that programs without special rights may still fill.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
    /// Whether nothing can be written on it.
    pub read_only: bool,
}

/// The filesystem that a path is on, or would be once it is made.
///
/// # Errors
/// When nothing above it can be looked at either.
pub fn filesystem(path: &Path) -> io::Result<Filesystem> {
    let found = rustix::fs::statvfs(&*existing(path))?;
    Ok(Filesystem {
        free: found.f_bavail * found.f_frsize,
        size: found.f_blocks * found.f_frsize,
        read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

/// The path itself, or the nearest directory above it that is there.
pub fn existing(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|path| path.exists());
    there.unwrap_or(Path::new("/")).to_owned()
}

/// Whether this program may write there.
pub fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_until_somebody_listens() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        assert_eq!(listen(address), Listening::Taken);
        drop(held);
        assert_eq!(listen(address), Listening::Free);
        // Set aside for documentation: no host has it.
        assert_eq!(listen("192.0.2.1:1".parse().unwrap()), Listening::NoSuchAddress);
    }

    #[test]
    fn what_is_not_there_yet_is_judged_by_what_is_above_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let deep = folder.path().join("a/b/c");
        assert_eq!(existing(&deep), folder.path());
        assert_eq!(
            filesystem(&deep).unwrap().size,
            filesystem(folder.path()).unwrap().size
        );
        assert!(is_writable(folder.path()) && !is_writable(&deep));
    }
}
