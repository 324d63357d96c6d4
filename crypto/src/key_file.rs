//! The key file: PKCS#8 PEM, readable by its owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use zeroize::Zeroizing;

/// Longest key file that is read, in bytes; a real one has about 120 to 200.
const MAX_LEN: usize = 4096;

/// Why a key file could not be read or written. Each message names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("no key file at {}: make one with `vouchsafe init`, or check the path", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Group or others may access the file.
    #[error(
        "key file {path} can be accessed by others (mode {mode:04o}): run `chmod 600 {path}`, and if others may have read it, make a new key",
        path = .path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is there already, and a key is never overwritten.
    #[error(
        "key file {} exists already and is never overwritten: move it away first, or use it as it is",
        .path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no Ed25519 key.
    #[error(
        "key file {} is damaged or holds no Ed25519 key ({why}): restore it from a backup (PKCS#8 PEM), or move it away and make a new key, which is a new identity",
        .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never quotes the content.
        why: String,
    },
    /// The operating system refused.
    #[error("cannot {doing} key file {}: {source}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The secret is held by an external signer.
    #[error("this identity's secret is held by an external signer, so it cannot be saved")]
    NotHeld,
}

pub(crate) fn load(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let corrupt = |why: &str| KeyFileError::Corrupt {
        path: path.into(),
        why: why.to_owned(),
    };
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path: path.into() },
        _ => KeyFileError::Io {
            doing: "read",
            path: path.into(),
            source,
        },
    };
    // Looked at before it is opened, since opening a pipe would wait.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(corrupt("not a regular file"));
    }
    let file = File::open(path).map_err(failed)?;
    check_mode(path, &file.metadata().map_err(failed)?)?;
    let mut pem = Zeroizing::new(String::with_capacity(MAX_LEN + 1));
    match file.take(MAX_LEN as u64 + 1).read_to_string(&mut pem) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(corrupt("not text")),
        Err(e) => return Err(failed(e)),
    }
    if pem.len() > MAX_LEN {
        return Err(corrupt("longer than 4096 bytes"));
    }
    if pem.trim().is_empty() {
        return Err(corrupt("empty"));
    }
    let key = SigningKey::from_pkcs8_pem(&pem).map_err(|e| corrupt(&e.to_string()))?;
    Ok(Zeroizing::new(key.to_bytes()))
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen {
            path: path.into(),
            mode,
        });
    }
    Ok(())
}

/// Other systems have no permission bits to look at.
#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<(), KeyFileError> {
    Ok(())
}

pub(crate) fn save(path: &Path, seed: &[u8; 32]) -> Result<(), KeyFileError> {
    // Without the public half the file is version 1, which every tool reads (RFC 8410 §7).
    let pair = KeypairBytes {
        secret_key: *seed,
        public_key: None,
    };
    let pem = pair
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|e| KeyFileError::Io {
            doing: "encode",
            path: path.into(),
            source: io::Error::other(e),
        })?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.into() },
        _ => KeyFileError::Io {
            doing: "write",
            path: path.into(),
            source,
        },
    };
    let mut file = options.open(path).map_err(failed)?;
    let written = file
        .write_all(pem.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory(path));
    if written.is_err() {
        // Half a key would stand in the way of the next attempt; we made the file, so we may.
        let _ = fs::remove_file(path);
    }
    written.map_err(failed)
}

/// Makes the file's name durable, not only its content.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
