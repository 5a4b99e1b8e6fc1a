//! Where the servers' programs are.

use crate::ServerError;
use std::path::{Path, PathBuf};

/// The folder that holds `initdb` and `postgres`: `CMDIAG_PG_BIN`, else the newest under Debian's
/// `/usr/lib/postgresql/<version>/bin`, else the search path.
pub fn postgres_programs() -> Result<PathBuf, ServerError> {
    if let Some(folder) = std::env::var_os("CMDIAG_PG_BIN").map(PathBuf::from) {
        return if is_postgres(&folder) {
            Ok(folder)
        } else {
            Err(ServerError::Missing {
                what: "PostgreSQL",
                hint: format!("CMDIAG_PG_BIN names {}, which holds no initdb and postgres", folder.display()),
            })
        };
    }
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = debian
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| is_postgres(folder))
        .collect();
    versions.sort_unstable();
    if let Some((_, newest)) = versions.pop() {
        return Ok(newest);
    }
    on_path("postgres")
        .and_then(|program| program.parent().map(Path::to_path_buf))
        .filter(|f| is_postgres(f))
        .ok_or_else(|| ServerError::Missing {
            what: "PostgreSQL",
            hint: "install Debian's package postgresql, or name its bin folder in CMDIAG_PG_BIN".to_owned(),
        })
}

/// The program `redis-server`: `CMDIAG_REDIS_SERVER`, else the search path.
pub fn redis_program() -> Result<PathBuf, ServerError> {
    let hint = match std::env::var_os("CMDIAG_REDIS_SERVER").map(PathBuf::from) {
        Some(program) if program.is_file() => return Ok(program),
        Some(program) => format!("CMDIAG_REDIS_SERVER names {}, which is not there", program.display()),
        None => match on_path("redis-server") {
            Some(program) => return Ok(program),
            None => "install Debian's package redis-server, or go without: caches are then in-process only".to_owned(),
        },
    };
    Err(ServerError::Missing { what: "Redis", hint })
}

fn is_postgres(folder: &Path) -> bool {
    folder.join("initdb").exists() && folder.join("postgres").exists()
}

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}
