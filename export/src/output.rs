//! Where a report goes: a file that appears only once it is whole, standard output, or a channel.

use crate::error::ExportError;
use crate::report::xml;
use bytes::Bytes;
use domain::personal::{Sealed, sealed_within};
use futures::future::BoxFuture;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

/// Knows who is behind a sealed name.
pub trait Names: Send + Sync {
    /// The name, or the tombstone of one that was erased; `None` where it stays sealed.
    fn name<'a>(&'a self, sealed: Sealed<'a>) -> BoxFuture<'a, Option<String>>;
}

/// How a name is written into what surrounds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// HTML or XML.
    Markup,
    /// Within a JSON string.
    Json,
    /// Within a quoted field of CSV.
    Csv,
}

impl Surroundings {
    fn written(self, name: &str) -> String {
        match self {
            Self::Markup => xml::escaped(name),
            Self::Json => {
                let quoted = serde_json::Value::from(name).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
            Self::Csv => crate::table::csv::within_quotes(name),
        }
    }
}

/// Where a report goes. Nothing of it is seen under the file's name before [`Output::finish`].
///
/// People's names are sealed wherever they are kept; here, where a report leaves the platform, they are opened.
pub struct Output {
    kind: Kind,
    names: Option<Arc<dyn Names>>,
    surroundings: Option<Surroundings>,
}

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
            return Ok(Self::of(Kind::Stdout));
        }
        let partial = partial_of(target);
        let file = File::create(&partial).await.map_err(|error| ExportError::file("create", &partial, error))?;
        Ok(Self::of(Kind::File { target: target.to_path_buf(), partial, file: Some(file) }))
    }

    /// A channel: for a response that is sent as it is made.
    pub fn channel(sender: mpsc::Sender<Bytes>) -> Self {
        Self::of(Kind::Channel(sender))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, names: None, surroundings: None }
    }

    /// Has sealed names opened in reports.
    #[must_use]
    pub fn naming(mut self, names: Arc<dyn Names>) -> Self {
        self.names = Some(names);
        self
    }

    /// What is written from here on is of this form: names are opened, and escaped as it needs them.
    pub(crate) fn surround(&mut self, surroundings: Surroundings) {
        self.surroundings = Some(surroundings);
    }

    async fn open_names(&self, gathered: &mut Vec<u8>) {
        let (Some(names), Some(surroundings)) = (&self.names, self.surroundings) else { return };
        let Ok(text) = std::str::from_utf8(gathered) else { return };
        let (mut opened, mut end) = (String::new(), 0);
        for (range, sealed) in sealed_within(text) {
            if let Some(name) = names.name(sealed).await {
                opened.push_str(&text[end..range.start]);
                opened.push_str(&surroundings.written(&name));
                end = range.end;
            }
        }
        if end > 0 {
            opened.push_str(&text[end..]);
            *gathered = opened.into_bytes();
        }
    }

    /// Writes what has gathered, and empties it.
    pub async fn take(&mut self, gathered: &mut Vec<u8>) -> Result<(), ExportError> {
        if gathered.is_empty() {
            return Ok(());
        }
        self.open_names(gathered).await;
        match &mut self.kind {
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
        match &mut self.kind {
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
        if let Kind::File { partial, .. } = &self.kind {
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
        let error = Output::open(Path::new("/nowhere/at/all.csv")).await.err().unwrap();
        assert!(error.to_string().contains("/nowhere/at"), "{error}");
    }

    struct Attacker;

    impl Names for Attacker {
        fn name<'a>(&'a self, _sealed: Sealed<'a>) -> BoxFuture<'a, Option<String>> {
            Box::pin(async { Some("=<script>\"x\", 'y'".to_owned()) })
        }
    }

    #[tokio::test]
    async fn an_opened_name_is_escaped_as_its_surroundings_need_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let sealed = "sealed:0198c0de-0000-7000-8000-000000000001.AbC-_09.";
        for (surroundings, before, after) in [
            (Surroundings::Markup, "<b>", "<b>=&lt;script&gt;&quot;x&quot;, &#39;y&#39;"),
            (Surroundings::Json, "{\"a\":\"", "{\"a\":\"=<script>\\\"x\\\", 'y'"),
            (Surroundings::Csv, "1,\"", "1,\"'=<script>\"\"x\"\", 'y'"),
        ] {
            let mut output = Output::open(&target).await.unwrap().naming(Arc::new(Attacker));
            output.surround(surroundings);
            output.take(&mut format!("{before}{sealed}").into_bytes()).await.unwrap();
            output.finish().await.unwrap();
            assert_eq!(std::fs::read_to_string(&target).unwrap(), after);
        }
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_is_no_fault() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let error = Output::channel(sender).take(&mut vec![1]).await.unwrap_err();
        assert!(matches!(error, ExportError::ReaderGone));
    }
}
