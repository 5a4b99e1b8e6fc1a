//! Names the way in which this build folds events: a hash of the aggregates' and upcasters' source. Snapshots of
//! another one are ignored, so that nobody has to remember to raise a number.

use std::path::{Path, PathBuf};
use std::{fs, io};

const SOURCES: [&str; 2] = ["../domain/src", "../event-store/src/upcast.rs"];

fn main() -> io::Result<()> {
    let mut files = Vec::new();
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
        collect(Path::new(source), &mut files)?;
    }
    files.sort();
    let mut hash = Fnv::new();
    for file in files {
        hash.take(file.to_string_lossy().as_bytes());
        hash.take(&fs::read(&file)?);
    }
    println!("cargo:rustc-env=STATE_SCHEMA={:032x}", hash.0);
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

/// FNV-1a, 128 bits: no attack is feared here, only forgetting.
struct Fnv(u128);

impl Fnv {
    const fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0]) {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }
}
