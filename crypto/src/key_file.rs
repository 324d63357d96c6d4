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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::Identity;

    /// The private key of RFC 8410 §10.3, in version 1 of PKCS#8.
    const RFC_8410: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";

    fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_saved_is_private_and_loads_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let identity = Identity::generate();
        identity.save(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o600, 0, "{mode:o}");
        assert_eq!(Identity::load(&path).unwrap().id(), identity.id());
    }

    #[test]
    fn the_file_is_the_one_rfc_8410_shows() {
        let dir = tempfile::tempdir().unwrap();
        let (given, made) = (dir.path().join("given"), dir.path().join("made"));
        write(&given, RFC_8410, 0o600);
        let identity = Identity::load(&given).unwrap();
        assert_eq!(
            data_encoding::HEXLOWER.encode(identity.id().as_bytes()),
            "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
        );
        identity.save(&made).unwrap();
        assert_eq!(fs::read_to_string(&made).unwrap(), RFC_8410);
    }

    #[test]
    fn a_key_that_others_can_access_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
            write(&path, RFC_8410, mode);
            let error = Identity::load(&path).unwrap_err();
            assert!(matches!(&error, KeyFileError::TooOpen { mode: m, .. } if *m == mode));
            let message = error.to_string();
            assert!(message.contains(&format!("(mode {mode:04o})")), "{message}");
            assert!(
                message.contains(&format!("chmod 600 {}", path.display())),
                "{message}"
            );
        }
        // The mode of a link's target counts, not the link's own.
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(
            Identity::load(&link),
            Err(KeyFileError::TooOpen { .. })
        ));
        write(&path, RFC_8410, 0o400);
        assert!(Identity::load(&link).is_ok());
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let first = Identity::generate();
        first.save(&path).unwrap();
        let error = Identity::generate().save(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Exists { .. }));
        let message = error.to_string();
        assert!(message.contains(&path.display().to_string()), "{message}");
        assert!(message.contains("never overwritten"), "{message}");
        assert_eq!(Identity::load(&path).unwrap().id(), first.id());
        // A dangling link is somebody's choice of place, and O_EXCL does not follow it.
        let link = dir.path().join("link");
        symlink(dir.path().join("elsewhere"), &link).unwrap();
        assert!(matches!(
            first.save(&link),
            Err(KeyFileError::Exists { .. })
        ));
        assert!(!dir.path().join("elsewhere").exists());
    }

    #[test]
    fn a_damaged_file_is_named_with_the_remedy_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        // A pair whose public half belongs to another secret.
        let mismatched = KeypairBytes {
            secret_key: [1; 32],
            public_key: Some(ed25519_dalek::pkcs8::PublicKeyBytes([2; 32])),
        };
        let mismatched = mismatched.to_pkcs8_pem(LineEnding::LF).unwrap();
        // The same bytes declared a key of X25519 (1.3.101.110) instead of Ed25519.
        let x25519 = RFC_8410.replace("MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vu");
        assert_ne!(x25519, RFC_8410);
        for content in [
            &b""[..],
            b"\n\n",
            b"not a key",
            &[0xff, 0xfe, 0x00],
            &RFC_8410.as_bytes()[..60],
            RFC_8410.replace("MC4CAQAw", "MC4CAQAx").as_bytes(),
            RFC_8410.replace("BEGIN", "BEGINN").as_bytes(),
            RFC_8410.replace("PRIVATE", "PUBLIC").as_bytes(),
            &vec![b'a'; 1 << 20],
            mismatched.as_bytes(),
            x25519.as_bytes(),
        ] {
            write(&path, content, 0o600);
            let error = Identity::load(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Corrupt { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.contains(&path.display().to_string()), "{message}");
            assert!(message.contains("restore it from a backup"), "{message}");
            assert!(
                !message.contains("MC4C") && !message.contains("1Ntuctv"),
                "{message}"
            );
            assert!(message.len() < 400 + path.as_os_str().len(), "{message}");
        }
    }

    #[test]
    fn other_obstacles_are_named_too() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.key");
        let error = Identity::load(&missing).unwrap_err();
        assert!(matches!(error, KeyFileError::Missing { .. }));
        assert!(error.to_string().contains("vouchsafe init"), "{error}");
        let error = Identity::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
        let error = Identity::generate()
            .save(&missing.join("below"))
            .unwrap_err();
        assert!(
            matches!(error, KeyFileError::Io { doing: "write", .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("missing.key/below"), "{error}");
    }

    #[test]
    fn a_key_held_elsewhere_is_not_saved() {
        let dir = tempfile::tempdir().unwrap();
        let id = Identity::generate().id();
        let identity = Identity::external(id, |_| Ok([0; 64]));
        let error = identity.save(&dir.path().join("node.key")).unwrap_err();
        assert!(matches!(error, KeyFileError::NotHeld));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
