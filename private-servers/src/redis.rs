//! A Redis of our own, holding nothing that may not be lost.

use crate::guard::{Account, Guarded, ServerError};
use crate::postgres::{free_port, last_lines, owned};
use crate::programs::redis_program;
use std::ffi::OsString;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// How to run a private Redis.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Its folder (`server.log`, its working folder).
    pub folder: PathBuf,
    /// Settings beside the defaults, as in `redis.conf`.
    pub settings: Vec<(String, String)>,
}

/// A running private Redis; it stops when this is dropped or its process ends.
#[derive(Debug)]
pub struct PrivateRedis {
    options: RedisOptions,
    program: PathBuf,
    account: Option<Account>,
    port: u16,
    server: Mutex<Option<Guarded>>,
}

impl PrivateRedis {
    /// Starts it on a free port, without persistence.
    pub async fn start(options: RedisOptions) -> Result<Self, ServerError> {
        let program = redis_program()?;
        let account = Account::unprivileged("redis")?;
        std::fs::create_dir_all(&options.folder).map_err(ServerError::io("create the folder of Redis"))?;
        let folder = std::fs::canonicalize(&options.folder).map_err(ServerError::io("find the folder of Redis"))?;
        let options = RedisOptions { folder, ..options };
        let mut last = None;
        for _ in 0..5 {
            let port = free_port()?;
            let redis =
                Self { options: options.clone(), program: program.clone(), account, port, server: Mutex::new(None) };
            match redis.restart().await {
                Ok(()) => return Ok(redis),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(ServerError::NotStarted { what: "Redis", reason: "no port".to_owned() }))
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Stops it.
    pub async fn stop(&self) {
        if let Some(mut server) = self.server.lock().await.take() {
            server.stop().await;
        }
    }

    /// Starts it (again) on its port.
    pub async fn restart(&self) -> Result<(), ServerError> {
        Account::own(self.account, &self.options.folder.join("work"))?;
        let log_path = self.options.folder.join("server.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&log_path);
        let log = log.map_err(ServerError::io("open the log of Redis"))?;
        let mut server = Guarded::start(self.account, "TERM", &self.arguments(), log, None)?;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
        while !pings(self.port).await {
            if !server.is_running() || tokio::time::Instant::now() > deadline {
                server.stop().await;
                return Err(ServerError::NotStarted { what: "Redis", reason: last_lines(&log_path) });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        *self.server.lock().await = Some(server);
        Ok(())
    }

    fn arguments(&self) -> Vec<OsString> {
        let work = self.options.folder.join("work");
        let fixed = [
            ("bind", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            ("save", String::new()),
            ("appendonly", "no".to_owned()),
            ("daemonize", "no".to_owned()),
            ("dir", work.to_string_lossy().into_owned()),
        ];
        let mut argv: Vec<OsString> = vec![self.program.clone().into()];
        for (name, value) in fixed.into_iter().map(owned).chain(self.options.settings.iter().cloned()) {
            argv.push(format!("--{name}").into());
            argv.push(value.into());
        }
        argv
    }
}

async fn pings(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0_u8; 5];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"+PONG")
    };
    matches!(tokio::time::timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
}
