//! What actions on files share: folders that can not be left, moves that overwrite nothing, and a place to set things
//! aside.
//!
//! A [`Root`] is a folder that a setting names. Below it no link is followed, whoever puts one there and whenever: each
//! part of a path is opened from the folder before it. What is set aside lies in `.cmdiag/<step>/` of the same root, so
//! that putting it back is a rename; see [`aside`].

pub(crate) mod aside;
pub(crate) mod clearing;
mod content;
mod moving;
mod old_files;
mod relative;
mod replace;
mod root;
mod stop;

#[cfg(test)]
pub(crate) mod testing;

pub(crate) use content::{Content, compress, copy, decompressed_hash, hash, read_small, write};
pub(crate) use moving::relocate;
pub(crate) use old_files::{OldFile, Wanted, days_back, old_files, sacred};
pub(crate) use relative::Relative;
pub(crate) use replace::{Replaced, put_back, replace};
pub(crate) use root::{Facts, Root};
pub(crate) use stop::{Stop, blocking};
