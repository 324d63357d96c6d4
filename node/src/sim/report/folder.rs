//! Files in a directory: all of them or none, each whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

/// A directory that can be written to.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the directory where there is none, and tries it: a long simulation should not end at a place that cannot be written.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub(crate) fn prepare(path: &Path) -> Result<Self> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| {
            format!("{shown}: cannot be made; choose another directory with --out")
        })?;
        let folder = Self {
            path: path.to_path_buf(),
        };
        let trial = folder.temporary("trial");
        let result = write_file(&trial, b"trial");
        let _ = fs::remove_file(&trial);
        result.with_context(|| format!("{shown}: cannot be written; {REMEDY}"))?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory below this one.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub(crate) fn below(&self, name: &str) -> Result<Self> {
        Self::prepare(&self.path.join(name))
    }

    /// Writes all files, or none of them: each is written beside its place, and they take their places when all are there.
    ///
    /// # Errors
    /// A file cannot be written; what was there before is still there.
    pub(crate) fn write(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        let result = self.write_or_leave_temporary(files);
        if result.is_err() {
            for (name, _) in files {
                let _ = fs::remove_file(self.temporary(name));
            }
        }
        result
    }

    fn write_or_leave_temporary(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        for (name, bytes) in files {
            let place = self.path.join(name);
            if place.is_dir() {
                bail!(
                    "{}: a directory is where a file should be; remove it",
                    place.display()
                );
            }
            write_file(&self.temporary(name), bytes)
                .with_context(|| format!("{}: cannot be written; {REMEDY}", place.display()))?;
        }
        for (name, _) in files {
            let place = self.path.join(name);
            fs::rename(self.temporary(name), &place)
                .with_context(|| format!("{}: cannot be put in place", place.display()))?;
        }
        Ok(())
    }

    /// Replaces one file, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written; what was there before is still there.
    pub(crate) fn write_beside(path: &Path, bytes: &[u8]) -> Result<()> {
        let name = path
            .file_name()
            .with_context(|| format!("{}: names no file", path.display()))?
            .to_string_lossy()
            .into_owned();
        let dir = path.parent().unwrap_or_else(|| Path::new(""));
        let folder = Self {
            path: dir.to_path_buf(),
        };
        folder.write(&[(name, bytes.to_vec())])
    }

    /// The text of a file; `None` when there is none.
    ///
    /// # Errors
    /// There is one that cannot be read.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>> {
        let place = self.path.join(name);
        match fs::read_to_string(&place) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(anyhow!(error).context(format!("{}: cannot be read", place.display())))
            }
        }
    }

    /// Removes a file if it is there.
    pub(super) fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.path.join(name));
    }

    /// Where a file is written before it takes its place: hidden, and another process has another one.
    fn temporary(&self, name: &str) -> PathBuf {
        self.path
            .join(format!(".{name}.{}.part", std::process::id()))
    }
}

const REMEDY: &str = "free space there or choose another directory with --out";

/// Writes a file through to the disk, so that a full one shows now.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn files(names: &[&str]) -> Vec<(String, Vec<u8>)> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), name.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn all_files_are_there_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::prepare(&dir.path().join("a/b")).unwrap();
        assert!(names(folder.path()).is_empty(), "the trial is gone");
        folder.write(&files(&["x", "y"])).unwrap();
        assert_eq!(names(folder.path()), ["x", "y"]);
        fs::write(folder.path().join("x"), "old").unwrap();
        fs::create_dir(folder.path().join("z")).unwrap();
        let error = folder.write(&files(&["x", "y", "z"])).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("/z: a directory is where a file should be"),
            "{text}"
        );
        assert_eq!(names(folder.path()), ["x", "y", "z"]);
        assert_eq!(folder.read("x").unwrap().as_deref(), Some("old"));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named_before_anything_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let text = format!("{:#}", Folder::prepare(&path).unwrap_err());
            assert!(text.starts_with(&path.display().to_string()), "{text}");
            assert!(
                text.contains("choose another directory with --out"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_missing_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::prepare(dir.path()).unwrap();
        assert_eq!(folder.read("x").unwrap(), None);
        fs::create_dir(dir.path().join("x")).unwrap();
        assert!(folder.read("x").is_err());
    }
}
