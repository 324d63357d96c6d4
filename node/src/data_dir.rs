//! The data directory: where everything that a node must not forget is, and how its commands find the running node.
//!
//! `config.toml`, `node.key`, `store.redb`, `lock`, `admin.token` and, while a node runs, `admin.addr`.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crypto::{Identity, KeyFileError, PeerId};
use overlay::config::AddressPreset;
use rand::TryRng as _;

use crate::config;

/// Longest small file (token, address, lock) that is read, bytes.
const MAX_SMALL: u64 = 256;
/// Characters of a token: 32 random bytes in hexadecimal.
const TOKEN_LEN: usize = 64;
/// How often, and how long apart, the lock is tried: whoever looks whether a node runs holds it for an instant.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why a data directory cannot be used. Each message names the path and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It is not there.
    #[error("there is no data directory {path}: make it with `vouchsafe init --data-dir {path}`", path = .path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{path} is no directory: use another --data-dir", path = .path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// `init` found a node in it.
    #[error(
        "{path} exists already, so {dir} holds a node: start it with `vouchsafe run --data-dir {dir}`, or use another --data-dir",
        path = .path.display(), dir = .dir.display()
    )]
    Exists {
        /// The directory.
        dir: PathBuf,
        /// What was found.
        path: PathBuf,
    },
    /// Another process uses it.
    #[error(
        "data dir {path} is locked by {}: stop it or use another --data-dir", holder(.pid),
        path = .path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process, when the lock file says.
        pid: Option<u32>,
    },
    /// The key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A file with a secret that others can access.
    #[error(
        "{path} can be accessed by others (mode {mode:04o}): run `chmod 600 {path}`, or remove it and start the node again for a new one",
        path = .path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that does not hold what it should.
    #[error("{path} does not hold {expected}: remove it and start the node again", path = .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// No node runs on it.
    #[error("no node is running on {path}: start it with `vouchsafe run --data-dir {path}`", path = .path.display())]
    NotRunning {
        /// The directory.
        path: PathBuf,
    },
    /// The system gives no randomness.
    #[error("the system gives no random bytes for {path}: {reason}", path = .path.display())]
    Random {
        /// The file they were for.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// Any other failure of the file system.
    #[error("cannot {doing} {path}: {source}; check the permissions and the free space", path = .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// "create", "read", "write", "lock".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn holder(pid: &Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// A data directory, not necessarily in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir {
    path: PathBuf,
}

/// Holds the directory for this process; dropping it (or the end of the process, however it ends) frees it.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// The secret that requests to the admin API carry; its `Debug` form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

impl AdminToken {
    /// The text: 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

impl DataDir {
    /// Makes a new node: the directory (mode 0700), `config.toml` and `node.key`. Returns the new node's id with it.
    ///
    /// # Errors
    /// [`DataDirError::Exists`] when there is a key or a configuration already; nothing is overwritten.
    pub fn init(
        path: &Path,
        network: &str,
        preset: AddressPreset,
    ) -> Result<(Self, PeerId), DataDirError> {
        let dir = Self::create(path)?;
        for taken in [dir.key_path(), dir.config_path(), dir.store_path()] {
            if taken.try_exists().map_err(io_at(&taken, "read"))? {
                return Err(DataDirError::Exists {
                    dir: dir.path,
                    path: taken,
                });
            }
        }
        let text = config::default_text(network, preset);
        write_atomically(&dir.config_path(), text.as_bytes(), 0o644)?;
        let identity = Identity::generate();
        // Last, so that a directory with a key is whole.
        identity.save(&dir.key_path())?;
        Ok((dir, identity.id()))
    }

    /// Makes the directory (mode 0700) unless it is there.
    pub fn create(path: &Path) -> Result<Self, DataDirError> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                return Err(DataDirError::NotADirectory {
                    path: path.to_path_buf(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut builder = fs::DirBuilder::new();
                builder.recursive(true);
                #[cfg(unix)]
                std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
                builder.create(path).map_err(io_at(path, "create"))?;
            }
            Err(error) => return Err(io_at(path, "read")(error)),
        }
        Ok(Self {
            path: path.to_path_buf(),
        })
    }

    /// The directory at this path, unseen: for its file names.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// An existing directory.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(Self {
                path: path.to_path_buf(),
            }),
            Ok(_) => Err(DataDirError::NotADirectory {
                path: path.to_path_buf(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DataDirError::Missing {
                path: path.to_path_buf(),
            }),
            Err(error) => Err(io_at(path, "read")(error)),
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `node.key`.
    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        self.path.join("node.key")
    }

    /// `store.redb`.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        self.path.join("store.redb")
    }

    /// `admin.token`.
    #[must_use]
    pub fn admin_token_path(&self) -> PathBuf {
        self.path.join("admin.token")
    }

    /// `admin.addr`.
    #[must_use]
    pub fn admin_addr_path(&self) -> PathBuf {
        self.path.join("admin.addr")
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Takes the directory for this process, which keeps any other node out of it. The system frees it when the process
    /// ends, however it ends.
    pub fn lock(&self) -> Result<DataDirLock, DataDirError> {
        let path = self.lock_path();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        let mut file = options.open(&path).map_err(io_at(&path, "lock"))?;
        for left in (0..LOCK_TRIES).rev() {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if left > 0 => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(DataDirError::Locked {
                        path: self.path.clone(),
                        pid: pid_in(&mut file),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(io_at(&path, "lock")(error)),
            }
        }
        // The process id is for people; the lock itself is the system's.
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.write_all(format!("{}\n", std::process::id()).as_bytes())
        };
        write(&mut file).map_err(io_at(&path, "write"))?;
        Ok(DataDirLock { _file: file })
    }

    /// Whether a node uses the directory now.
    pub fn is_locked(&self) -> Result<bool, DataDirError> {
        let path = self.lock_path();
        match File::open(&path) {
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(io_at(&path, "lock")(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_at(&path, "lock")(error)),
        }
    }

    /// The node's key.
    pub fn identity(&self) -> Result<Identity, DataDirError> {
        Ok(Identity::load(&self.key_path())?)
    }

    /// The node's key, made when there is none.
    pub fn identity_or_new(&self) -> Result<Identity, DataDirError> {
        match Identity::load(&self.key_path()) {
            Err(KeyFileError::Missing { .. }) => {
                let identity = Identity::generate();
                identity.save(&self.key_path())?;
                Ok(identity)
            }
            other => Ok(other?),
        }
    }

    /// The token of the admin API, made (32 random bytes, mode 0600) when there is none. For the node.
    pub fn admin_token_or_new(&self) -> Result<AdminToken, DataDirError> {
        let path = self.admin_token_path();
        if path.try_exists().map_err(io_at(&path, "read"))? {
            return self.admin_token();
        }
        let mut bytes = [0; 32];
        rand::rngs::SysRng
            .try_fill_bytes(&mut bytes)
            .map_err(|error| DataDirError::Random {
                path: path.clone(),
                reason: error.to_string(),
            })?;
        let token = data_encoding::HEXLOWER.encode(&bytes);
        write_atomically(&path, format!("{token}\n").as_bytes(), 0o600)?;
        Ok(AdminToken(token))
    }

    /// The token of the admin API, for whoever talks to the node.
    pub fn admin_token(&self) -> Result<AdminToken, DataDirError> {
        let path = self.admin_token_path();
        let Some((text, mode)) = read_small(&path)? else {
            return Err(DataDirError::NotRunning {
                path: self.path.clone(),
            });
        };
        if mode & 0o077 != 0 {
            return Err(DataDirError::TooOpen { path, mode });
        }
        let token = text.trim_end();
        let good = token.len() == TOKEN_LEN
            && token
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !good {
            return Err(DataDirError::Corrupt {
                path,
                expected: "a token (64 hexadecimal digits)",
            });
        }
        Ok(AdminToken(token.to_owned()))
    }

    /// Says where the admin API of the running node is.
    pub fn write_admin_addr(&self, addr: SocketAddr) -> Result<(), DataDirError> {
        write_atomically(
            &self.admin_addr_path(),
            format!("{addr}\n").as_bytes(),
            0o644,
        )
    }

    /// Takes the address back, at the end of a node.
    pub fn remove_admin_addr(&self) -> Result<(), DataDirError> {
        let path = self.admin_addr_path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_at(&path, "remove")(error))
            }
            _ => Ok(()),
        }
    }

    /// Where the admin API of the running node is.
    ///
    /// # Errors
    /// [`DataDirError::NotRunning`] also when a killed node has left its address behind.
    pub fn admin_addr(&self) -> Result<SocketAddr, DataDirError> {
        let not_running = || DataDirError::NotRunning {
            path: self.path.clone(),
        };
        if !self.is_locked()? {
            return Err(not_running());
        }
        let path = self.admin_addr_path();
        let (text, _) = read_small(&path)?.ok_or_else(not_running)?;
        text.trim_end().parse().map_err(|_| DataDirError::Corrupt {
            path,
            expected: "an address IP:PORT",
        })
    }
}

fn io_at(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> DataDirError {
    move |source| DataDirError::Io {
        path: path.to_path_buf(),
        doing,
        source,
    }
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_SMALL).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// New files are readable by nobody else.
fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// Content and permission bits (0 where the system has none); `None` when it is not there.
fn read_small(path: &Path) -> Result<Option<(String, u32)>, DataDirError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_at(path, "read")(error)),
    };
    #[cfg(unix)]
    let mode = {
        use std::os::unix::fs::PermissionsExt as _;
        let meta = file.metadata().map_err(io_at(path, "read"))?;
        meta.permissions().mode() & 0o7777
    };
    #[cfg(not(unix))]
    let mode = 0;
    let mut bytes = Vec::new();
    file.take(MAX_SMALL)
        .read_to_end(&mut bytes)
        .map_err(io_at(path, "read"))?;
    Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), mode)))
}

/// Whoever reads `path` sees the old content or the new, never a part, also after a crash.
fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<(), DataDirError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let write = || {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        #[cfg(not(unix))]
        let _ = mode;
        let mut file = options.open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    };
    write().map_err(io_at(path, "write"))
}

#[cfg(all(test, unix))]
mod tests;
