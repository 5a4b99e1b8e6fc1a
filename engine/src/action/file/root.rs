//! A folder that can not be left.

use super::{Relative, Stop};
use crate::action::ActionError;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The most entries of one folder.
const ENTRIES_MAX: usize = 1_000_000;
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A folder that a setting names. Links on the way to it are the administrators' choice; below it none is followed.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    folder: OwnedFd,
    device: u64,
    stop: Stop,
}

/// What a look at a file or folder tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub is_file: bool,
    pub is_folder: bool,
    pub bytes: u64,
    /// Its permissions: the lower twelve bits.
    pub mode: u32,
    /// When it was last changed: seconds and nanoseconds.
    pub modified: (i64, i64),
    pub owner: (u32, u32),
    pub links: u64,
    pub device: u64,
    pub inode: u64,
}

impl Facts {
    fn of(stat: &Stat) -> Self {
        let kind = FileType::from_raw_mode(stat.st_mode);
        Self {
            is_file: kind.is_file(),
            is_folder: kind.is_dir(),
            bytes: stat.st_size as u64,
            mode: stat.st_mode & 0o7777,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            owner: (stat.st_uid, stat.st_gid),
            links: stat.st_nlink,
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

impl Root {
    /// Opens the folder. `what` names the setting, for whoever reads the error.
    pub(crate) fn open(what: &str, path: &Path, stop: &Stop) -> Result<Self, ActionError> {
        let wrong = |why: String| ActionError::configuration(format!("{what} {}: {why}", path.display()));
        if !path.is_absolute() {
            return Err(wrong("it must be an absolute path".to_owned()));
        }
        let path = std::fs::canonicalize(path).map_err(|error| wrong(error.to_string()))?;
        if path.parent().is_none() {
            return Err(wrong("the root of all folders is too much".to_owned()));
        }
        let folder = rustix::fs::open(&path, FOLDER, Mode::empty()).map_err(|error| wrong(error.to_string()))?;
        let device = rustix::fs::fstat(&folder).map_err(|error| wrong(error.to_string()))?.st_dev;
        Ok(Self { path, folder, device, stop: stop.clone() })
    }

    /// Where it is, with all links on the way resolved.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The volume that it is on.
    pub(crate) fn device(&self) -> u64 {
        self.device
    }

    /// Told to end.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// A path below it, in full: for texts.
    pub(crate) fn full(&self, relative: &Relative) -> String {
        self.path.join(relative.as_str()).display().to_string()
    }

    /// How many bytes can still be written.
    pub(crate) fn free_bytes(&self) -> Result<u64, ActionError> {
        let own = self.readable(None)?;
        let found = rustix::fs::fstatvfs(&own).map_err(|error| self.fail("measure", None, error))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn fail(&self, doing: &str, relative: Option<&Relative>, error: Errno) -> ActionError {
        let path = relative.map_or_else(|| self.path.display().to_string(), |relative| self.full(relative));
        match error {
            Errno::LOOP | Errno::NOTDIR => ActionError::precondition(format!(
                "{path}: there is a link, or no folder, on the way: what is reached through links is not touched"
            )),
            Errno::EXIST | Errno::NOTEMPTY => {
                ActionError::precondition(format!("{path} is there already: nothing is overwritten"))
            }
            Errno::XDEV => ActionError::precondition(format!("{path} lies on another volume")),
            error => ActionError::target(format!("could not {doing} {path}: {}", std::io::Error::from(error))),
        }
    }

    /// The folder that holds a path, reached without following a link.
    fn parent_of(&self, relative: &Relative) -> Result<OwnedFd, Errno> {
        let mut folder = rustix::io::fcntl_dupfd_cloexec(&self.folder, 0)?;
        let mut parts: Vec<&str> = relative.as_str().split('/').collect();
        parts.pop();
        for part in parts {
            folder = rustix::fs::openat(&folder, part, FOLDER, Mode::empty())?;
        }
        Ok(folder)
    }

    /// A folder opened for reading: for listing it, and for having its entries written to the disk.
    fn readable(&self, folder: Option<&Relative>) -> Result<OwnedFd, ActionError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match folder {
            None => rustix::fs::openat(&self.folder, ".", flags, Mode::empty()),
            Some(relative) => self
                .parent_of(relative)
                .and_then(|parent| rustix::fs::openat(&parent, relative.name(), flags, Mode::empty())),
        };
        opened.map_err(|error| self.fail("open", folder, error))
    }

    /// What is at a path, where there is something. A link is neither a file nor a folder.
    pub(crate) fn look(&self, relative: &Relative) -> Result<Option<Facts>, ActionError> {
        self.stop.look()?;
        let found = self
            .parent_of(relative)
            .and_then(|parent| rustix::fs::statat(&parent, relative.name(), AtFlags::SYMLINK_NOFOLLOW));
        match found {
            Ok(stat) => Ok(Some(Facts::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.fail("look at", Some(relative), error)),
        }
    }

    /// What the root itself is.
    pub(crate) fn look_at_itself(&self) -> Result<Facts, ActionError> {
        let stat = rustix::fs::fstat(&self.folder).map_err(|error| self.fail("look at", None, error))?;
        Ok(Facts::of(&stat))
    }

    /// The file at a path, where there is one; an error where there is something else.
    pub(crate) fn file(&self, relative: &Relative) -> Result<Option<Facts>, ActionError> {
        match self.look(relative)? {
            Some(found) if !found.is_file => {
                Err(ActionError::precondition(format!("{} is not a plain file", self.full(relative))))
            }
            found => Ok(found),
        }
    }

    /// Opens a file for reading.
    pub(crate) fn read(&self, relative: &Relative) -> Result<(File, Facts), ActionError> {
        self.stop.look()?;
        // Not blocking: somebody may have put a pipe where a file was.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fail = |error| self.fail("read", Some(relative), error);
        let parent = self.parent_of(relative).map_err(fail)?;
        let file = rustix::fs::openat(&parent, relative.name(), flags, Mode::empty()).map_err(fail)?;
        let facts = Facts::of(&rustix::fs::fstat(&file).map_err(fail)?);
        if !facts.is_file {
            return Err(ActionError::precondition(format!("{} is not a plain file", self.full(relative))));
        }
        Ok((File::from(file), facts))
    }

    /// Makes a file that must not be there, for nobody else to read yet.
    pub(crate) fn create(&self, relative: &Relative) -> Result<File, ActionError> {
        self.stop.look()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = self
            .parent_of(relative)
            .and_then(|parent| rustix::fs::openat(&parent, relative.name(), flags, Mode::RUSR | Mode::WUSR));
        made.map(File::from).map_err(|error| self.fail("create", Some(relative), error))
    }

    /// Makes the folders above a path that are not there yet, with this mode.
    pub(crate) fn make_parents(&self, relative: &Relative, mode: u32) -> Result<(), ActionError> {
        for folder in relative.parents() {
            if self.look(&folder)?.is_some_and(|found| found.is_folder) {
                continue;
            }
            let fail = |error| self.fail("create", Some(&folder), error);
            let parent = self.parent_of(&folder).map_err(fail)?;
            match rustix::fs::mkdirat(&parent, folder.name(), Mode::RWXU) {
                // Whatever the process's own mask would take away.
                Ok(()) => {
                    self.set_mode(Some(&folder), mode)?;
                    self.sync_folder(folder.parent().as_ref())?;
                }
                // Somebody was quicker; whether it is a folder shows when it is opened.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(fail(error)),
            }
        }
        Ok(())
    }

    /// The folders above a path that are not there.
    pub(crate) fn missing_parents(&self, relative: &Relative) -> Result<Vec<Relative>, ActionError> {
        let mut missing = Vec::new();
        for folder in relative.parents() {
            match self.look(&folder)? {
                None => missing.push(folder),
                Some(found) if found.is_folder => {}
                Some(_) => return Err(self.fail("use", Some(&folder), Errno::NOTDIR)),
            }
        }
        Ok(missing)
    }

    /// Moves what is at a path to another one, of this or another root on the same volume. Nothing is overwritten.
    pub(crate) fn move_to(&self, from: &Relative, root: &Self, to: &Relative) -> Result<(), ActionError> {
        self.stop.look()?;
        let old = self.parent_of(from).map_err(|error| self.fail("move", Some(from), error))?;
        let new = root.parent_of(to).map_err(|error| root.fail("move to", Some(to), error))?;
        let moved = rustix::fs::renameat_with(&old, from.name(), &new, to.name(), RenameFlags::NOREPLACE);
        let moved = match moved {
            // Not every network file system can promise it: then we look ourselves.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                match rustix::fs::statat(&new, to.name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => rustix::fs::renameat(&old, from.name(), &new, to.name()),
                    Ok(_) => Err(Errno::EXIST),
                    Err(error) => Err(error),
                }
            }
            moved => moved,
        };
        moved.map_err(|error| match error {
            Errno::EXIST => root.fail("move to", Some(to), error),
            error => self.fail("move", Some(from), error),
        })?;
        root.sync_folder(to.parent().as_ref())?;
        self.sync_folder(from.parent().as_ref())
    }

    /// Moves a file over another one: at each moment there is one of the two.
    pub(crate) fn move_over(&self, from: &Relative, to: &Relative) -> Result<(), ActionError> {
        self.stop.look()?;
        let old = self.parent_of(from).map_err(|error| self.fail("move", Some(from), error))?;
        let new = self.parent_of(to).map_err(|error| self.fail("move to", Some(to), error))?;
        rustix::fs::renameat(&old, from.name(), &new, to.name())
            .map_err(|error| self.fail("move to", Some(to), error))?;
        self.sync_folder(to.parent().as_ref())?;
        self.sync_folder(from.parent().as_ref())
    }

    /// Gives a file a second name. Whether the file system can.
    pub(crate) fn link(&self, from: &Relative, to: &Relative) -> Result<bool, ActionError> {
        self.stop.look()?;
        let old = self.parent_of(from).map_err(|error| self.fail("link", Some(from), error))?;
        let new = self.parent_of(to).map_err(|error| self.fail("link to", Some(to), error))?;
        match rustix::fs::linkat(&old, from.name(), &new, to.name(), AtFlags::empty()) {
            Ok(()) => self.sync_folder(to.parent().as_ref()).map(|()| true),
            Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::MLINK) => Ok(false),
            Err(error) => Err(self.fail("link to", Some(to), error)),
        }
    }

    /// Where a link leads.
    pub(crate) fn read_link(&self, relative: &Relative) -> Result<String, ActionError> {
        self.stop.look()?;
        let fail = |error| self.fail("read the link", Some(relative), error);
        let parent = self.parent_of(relative).map_err(fail)?;
        let found = rustix::fs::readlinkat(&parent, relative.name(), Vec::new());
        match found {
            Ok(leads_to) => leads_to.into_string().map_err(|_| fail(Errno::ILSEQ)),
            Err(Errno::INVAL) => Err(ActionError::precondition(format!("{} is no link", self.full(relative)))),
            Err(error) => Err(fail(error)),
        }
    }

    /// Makes a link that leads to `old` lead to `new`, at once. Done again, it changes nothing.
    pub(crate) fn relink(&self, relative: &Relative, key: &str, old: &str, new: &str) -> Result<(), ActionError> {
        let present = self.read_link(relative)?;
        let making = super::aside::new(key, relative);
        if present != new {
            if present != old {
                let path = self.full(relative);
                return Err(ActionError::precondition(format!("{path} leads elsewhere: somebody else changed it")));
            }
            super::aside::make_room(self, &making)?;
            self.remove_own(&making)?;
            let fail = |error| self.fail("link", Some(&making), error);
            let parent = self.parent_of(&making).map_err(fail)?;
            rustix::fs::symlinkat(new, &parent, making.name()).map_err(fail)?;
            self.move_over(&making, relative)?;
        }
        self.remove_own(&making)?;
        super::aside::tidy(self, key)
    }

    /// Removes a file of our own making, where it is there.
    pub(crate) fn remove_own(&self, relative: &Relative) -> Result<(), ActionError> {
        self.stop.look()?;
        let removed = self
            .parent_of(relative)
            .and_then(|parent| rustix::fs::unlinkat(&parent, relative.name(), AtFlags::empty()));
        match removed {
            Ok(()) => self.sync_folder(relative.parent().as_ref()),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.fail("remove", Some(relative), error)),
        }
    }

    /// Removes a folder where it is there and empty.
    pub(crate) fn remove_if_empty(&self, folder: &Relative) -> Result<(), ActionError> {
        self.stop.look()?;
        let removed =
            self.parent_of(folder).and_then(|parent| rustix::fs::unlinkat(&parent, folder.name(), AtFlags::REMOVEDIR));
        match removed {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(error) => Err(self.fail("remove", Some(folder), error)),
        }
    }

    /// What is in a folder, by name.
    pub(crate) fn list(&self, folder: Option<&Relative>) -> Result<Vec<(String, Facts)>, ActionError> {
        self.stop.look()?;
        let opened = self.readable(folder)?;
        let fail = |error| self.fail("list", folder, error);
        let mut found = Vec::new();
        for entry in Dir::read_from(&opened).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            if found.len() == ENTRIES_MAX {
                return Err(ActionError::precondition(format!("{} holds too many entries", self.path.display())));
            }
            match rustix::fs::statat(opened.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => found.push((name.to_string_lossy().into_owned(), Facts::of(&stat))),
                // It went while we looked.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(fail(error)),
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    /// Sets the permissions of a file or folder (`None`: the root itself), and of nothing that a link leads to.
    pub(crate) fn set_mode(&self, relative: Option<&Relative>, mode: u32) -> Result<(), ActionError> {
        self.stop.look()?;
        let fail = |error| self.fail("set the permissions of", relative, error);
        let held = match relative {
            None => rustix::io::fcntl_dupfd_cloexec(&self.folder, 0),
            Some(relative) => self.parent_of(relative).and_then(|parent| {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(&parent, relative.name(), flags, Mode::empty())
            }),
        };
        let held = held.map_err(fail)?;
        let facts = Facts::of(&rustix::fs::fstat(&held).map_err(fail)?);
        if !facts.is_folder && (!facts.is_file || facts.links != 1) {
            return Err(fail(Errno::LOOP));
        }
        // A folder that may not be read can not be opened for it; its entry among our own open files can.
        let own = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&held));
        rustix::fs::chmod(own, Mode::from_raw_mode(mode)).map_err(fail)
    }

    /// Has a folder's entries written to the disk.
    pub(crate) fn sync_folder(&self, folder: Option<&Relative>) -> Result<(), ActionError> {
        let opened = self.readable(folder)?;
        match rustix::fs::fsync(&opened) {
            // Some network file systems know no such thing, and write through.
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(error) => Err(self.fail("write to the disk", folder, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, aside, copy, hash, relocate, write};
    use super::*;
    use crate::action::ActionErrorKind;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn at(path: &str) -> Relative {
        Relative::parse(path).unwrap()
    }

    fn root(folder: &Path) -> Root {
        Root::open("setting path", folder, &Stop::never()).unwrap()
    }

    #[test]
    fn only_a_folder_with_an_absolute_path_is_a_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        for wrong in
            [Path::new("relative"), Path::new("/"), Path::new("/.."), &dir.path().join("file"), Path::new("/no")]
        {
            let error = Root::open("setting path", wrong, &Stop::never()).unwrap_err();
            assert_eq!(error.kind, ActionErrorKind::Configuration, "{error}");
        }
        // A link to the root itself is the administrators' choice.
        symlink(dir.path(), dir.path().join("link")).unwrap();
        assert!(Root::open("setting path", &dir.path().join("link"), &Stop::never()).is_ok());
    }

    #[test]
    fn no_link_is_followed_below_the_root() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        std::fs::write(dir.path().join("own"), "o").unwrap();
        symlink(outside.path(), dir.path().join("folder")).unwrap();
        symlink(outside.path().join("secret"), dir.path().join("file")).unwrap();
        let root = root(dir.path());
        let (escape, link, own) = (at("folder/secret"), at("file"), at("own"));
        let like = root.file(&own).unwrap().unwrap();
        assert!(root.look(&escape).is_err());
        assert!(root.file(&link).is_err() && root.read(&link).is_err() && root.read(&escape).is_err());
        assert!(root.create(&at("folder/new")).is_err());
        assert!(root.make_parents(&at("folder/a/b"), 0o755).is_err());
        assert!(root.missing_parents(&at("folder/a/b")).is_err());
        assert!(root.move_to(&own, &root, &at("folder/own")).is_err());
        assert!(root.move_to(&escape, &root, &at("stolen")).is_err());
        assert!(root.move_over(&own, &escape).is_err());
        assert!(root.link(&escape, &at("stolen")).is_err());
        assert!(root.remove_own(&escape).is_err());
        assert!(root.list(Some(&at("folder"))).is_err());
        assert!(root.set_mode(Some(&link), 0o777).is_err() && root.set_mode(Some(&escape), 0o777).is_err());
        assert!(write(&root, &at("folder/x"), b"x", &like).is_err());
        assert!(hash(&root, &escape).is_err());
        assert!(copy((&root, &escape), (&root, &at("copy")), &like).is_err());
        assert!(relocate((&root, &own), (&root, &at("folder/own")), "k", &Content::of(b"o")).is_err());
        assert!(aside::set(&root, &escape, "k").is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "s");
        assert_eq!(std::fs::read_to_string(dir.path().join("own")).unwrap(), "o");
    }

    #[test]
    fn nothing_is_overwritten_and_no_permission_reaches_a_second_name() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, text) in [("a", "1"), ("b", "2")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        std::fs::write(outside.path().join("theirs"), "t").unwrap();
        std::fs::hard_link(outside.path().join("theirs"), dir.path().join("second")).unwrap();
        let root = root(dir.path());
        assert_eq!(root.move_to(&at("a"), &root, &at("b")).unwrap_err().kind, ActionErrorKind::Precondition);
        assert_eq!(std::fs::read_to_string(dir.path().join("b")).unwrap(), "2");
        assert!(root.set_mode(Some(&at("second")), 0o777).is_err());
        root.set_mode(Some(&at("a")), 0o640).unwrap();
        assert_eq!(dir.path().join("a").metadata().unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_pipe_is_no_file_and_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let root = root(dir.path());
        assert!(root.read(&at("pipe")).is_err() && root.file(&at("pipe")).is_err());
    }

    #[test]
    fn moving_to_another_volume_copies_and_compares_before_the_first_goes() {
        // Only where the machine has two volumes to try it with.
        let (dir, other) = (tempfile::tempdir().unwrap(), Path::new("/dev/shm"));
        let Ok(other) = tempfile::tempdir_in(other) else { return };
        let (here, there) = (root(dir.path()), root(other.path()));
        if here.device() == there.device() {
            return;
        }
        std::fs::write(dir.path().join("a"), "content").unwrap();
        let content = Content::of(b"content");
        let wrong = Content::of(b"another");
        assert!(relocate((&here, &at("a")), (&there, &at("x/a")), "k", &wrong).is_err());
        assert!(dir.path().join("a").exists());
        for _ in 0..2 {
            relocate((&here, &at("a")), (&there, &at("x/a")), "k", &content).unwrap();
            assert!(!dir.path().join("a").exists());
            assert_eq!(std::fs::read_to_string(other.path().join("x/a")).unwrap(), "content");
            assert!(!other.path().join(".cmdiag").exists());
        }
    }
}
