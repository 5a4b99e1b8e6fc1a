//! Where a report goes: a file that appears only once it is whole, standard output, or a channel.

use crate::error::ExportError;
use bytes::Bytes;
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

/// Where a report goes. Nothing of it is seen under the file's name before [`Output::finish`].
#[derive(Debug)]
pub struct Output(Kind);

#[derive(Debug)]
enum Kind {
    File { target: PathBuf, partial: PathBuf, file: Option<File> },
    Stdout,
    Channel(mpsc::Sender<Bytes>),
}

impl Output {
    /// A file, or standard output for `-`.
    pub async fn open(target: &Path) -> Result<Self, ExportError> {
        if target == Path::new("-") {
            return Ok(Self(Kind::Stdout));
        }
        let partial = partial_of(target);
        let file = File::create(&partial).await.map_err(|error| ExportError::file("create", &partial, error))?;
        Ok(Self(Kind::File { target: target.to_path_buf(), partial, file: Some(file) }))
    }

    /// A channel: for a response that is sent as it is made.
    pub fn channel(sender: mpsc::Sender<Bytes>) -> Self {
        Self(Kind::Channel(sender))
    }

    /// Writes what has gathered, and empties it.
    pub async fn take(&mut self, gathered: &mut Vec<u8>) -> Result<(), ExportError> {
        if gathered.is_empty() {
            return Ok(());
        }
        match &mut self.0 {
            Kind::File { partial, file, .. } => {
                if let Some(file) = file {
                    file.write_all(gathered).await.map_err(|error| ExportError::file("write", partial, error))?;
                }
                gathered.clear();
            }
            Kind::Stdout => {
                print(std::mem::take(gathered)).await?;
            }
            Kind::Channel(sender) => {
                let bytes = Bytes::from(std::mem::take(gathered));
                sender.send(bytes).await.map_err(|_| ExportError::ReaderGone)?;
            }
        }
        Ok(())
    }

    /// Makes it appear, whole.
    pub async fn finish(mut self) -> Result<(), ExportError> {
        match &mut self.0 {
            Kind::File { target, partial, file } => {
                if let Some(file) = file.take() {
                    let synced = file.sync_all().await;
                    synced.map_err(|error| ExportError::file("write", partial, error))?;
                }
                let renamed = tokio::fs::rename(&*partial, &*target).await;
                renamed.map_err(|error| ExportError::file("rename into place", target, error))
            }
            Kind::Stdout | Kind::Channel(_) => Ok(()),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Kind::File { partial, .. } = &self.0 {
            // After `finish` it is not there any more; whatever else is left behind is no report.
            let _ = std::fs::remove_file(partial);
        }
    }
}

/// A pipe may stand still for long: no work for the runtime's own threads.
async fn print(bytes: Vec<u8>) -> Result<(), ExportError> {
    let printed = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes).and_then(|()| out.flush())
    });
    printed.await?.map_err(|error| ExportError::file("write", Path::new("-"), error))
}

/// Beside the target, so that the rename stays within one file system.
fn partial_of(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.partial"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_appears_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("report.html");
        let entries = || std::fs::read_dir(folder.path()).unwrap().count();
        let mut output = Output::open(&target).await.unwrap();
        output.take(&mut b"half".to_vec()).await.unwrap();
        assert!(!target.exists());
        drop(output);
        assert_eq!(entries(), 0, "what was given up leaves nothing");

        let mut output = Output::open(&target).await.unwrap();
        let mut gathered = b"whole".to_vec();
        output.take(&mut gathered).await.unwrap();
        assert!(gathered.is_empty());
        output.finish().await.unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "whole");
        assert_eq!(entries(), 1);
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let error = Output::open(Path::new("/nowhere/at/all.csv")).await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/at"), "{error}");
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_is_no_fault() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let error = Output::channel(sender).take(&mut vec![1]).await.unwrap_err();
        assert!(matches!(error, ExportError::ReaderGone));
    }
}
