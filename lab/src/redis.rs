//! As much of the Redis protocol as reading and setting a setting takes.

use crate::database;
use crate::error::LabError;
use crate::layout::{Folders, write_atomically};
use crate::options::LabOptions;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const BOUND: Duration = Duration::from_secs(5);
const REPLY_BYTES_MAX: usize = 1 << 16;

/// A Redis URL in its parts: `redis://[user:password@]host[:port][/database]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Without credentials.
    pub bare: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Who connects, where it is not the default user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
}

impl RedisUrl {
    /// Understands one.
    pub fn parse(url: &str) -> Result<Self, LabError> {
        let wrong = || LabError::Options("the Redis URL must look like redis://[user:password@]host[:port]".to_owned());
        let rest = url.strip_prefix("redis://").ok_or_else(wrong)?;
        let (credentials, address) = rest.rsplit_once('@').map_or((None, rest), |(one, two)| (Some(one), two));
        let (host_port, _) = address.split_once('/').unwrap_or((address, ""));
        let (host, port) = host_port.rsplit_once(':').unwrap_or((host_port, "6379"));
        let port = port.parse().map_err(|_| wrong())?;
        let (user, password) = match credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) {
            Some((user, password)) => (Some(user).filter(|user| !user.is_empty()), Some(password)),
            None => (None, None),
        };
        Ok(Self {
            bare: format!("redis://{address}"),
            host: host.to_owned(),
            port,
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
        })
    }
}

/// Where the URL of the cache is kept, with its credentials.
pub fn url_file(folders: &Folders) -> std::path::PathBuf {
    folders.root().join("secrets/cache.url")
}

/// The user that may change what a remediation changes, and nothing else: it sees no key.
pub const ACTION_USER: &str = "cmdiag-actions";
const ACTION_RIGHTS: &str = "+ping +info +config|get +config|set +config|resetstat +memory|purge +bgsave +select";

/// Makes that user. A server that is started anew has forgotten it.
pub async fn allow_actions(options: &LabOptions, folders: &Folders) -> Result<(), LabError> {
    if let Some(url) = &options.redis_url {
        RedisUrl::parse(url)?;
        write_atomically(&url_file(folders), url.as_bytes(), 0o600)?;
    }
    let password = format!(">{}", database::ensure_password(&folders.action_password())?);
    let user = ["ACL", "SETUSER", ACTION_USER, "reset", "on", &password];
    let words: Vec<&str> = user.into_iter().chain(ACTION_RIGHTS.split(' ')).collect();
    command(folders, &words).await.map(drop)
}

/// The value of a setting.
pub async fn get_setting(folders: &Folders, name: &str) -> Result<String, LabError> {
    let reply = command(folders, &["CONFIG", "GET", name]).await?;
    reply.into_iter().nth(1).ok_or_else(|| LabError::Cache(format!("it has no setting {name}")))
}

/// Sets a setting.
pub async fn set_setting(folders: &Folders, name: &str, value: &str) -> Result<(), LabError> {
    command(folders, &["CONFIG", "SET", name, value]).await.map(drop)
}

/// How much memory it uses.
pub async fn used_memory(folders: &Folders) -> Result<u64, LabError> {
    let reply = command(folders, &["INFO", "memory"]).await?;
    let text = reply.into_iter().next().unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
    value
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| LabError::Cache("it does not say how much memory it uses".to_owned()))
}

async fn command(folders: &Folders, words: &[&str]) -> Result<Vec<String>, LabError> {
    let file = url_file(folders);
    let text = std::fs::read_to_string(&file)
        .map_err(|_| LabError::Options("this lab has no cache: start it with a Redis URL".to_owned()))?;
    let url = RedisUrl::parse(text.trim())?;
    let talk = async {
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
        let mut stream = BufReader::new(stream);
        if let Some(password) = &url.password {
            let words: Vec<&str> = ["AUTH"].into_iter().chain(url.user.as_deref()).chain([password.as_str()]).collect();
            send(&mut stream, &words).await?;
        }
        send(&mut stream, words).await
    };
    let reply = tokio::time::timeout(BOUND, talk).await;
    let reply = reply.map_err(|_| LabError::Cache("it did not answer in time".to_owned()))?;
    reply.map_err(|error| LabError::Cache(error.to_string()))
}

async fn send(stream: &mut BufReader<TcpStream>, words: &[&str]) -> std::io::Result<Vec<String>> {
    let bulks: String = words.iter().map(|word| bulk_string(word)).collect();
    let request = format!("*{}\r\n{bulks}", words.len());
    stream.write_all(request.as_bytes()).await?;
    let (kind, head) = line(stream).await?;
    match kind {
        '+' | ':' => Ok(vec![head]),
        '$' => Ok(vec![bulk(stream, &head).await?]),
        '*' => {
            let mut items = Vec::new();
            for _ in 0..head.parse::<usize>().unwrap_or(0).min(1_000) {
                let (_, head) = line(stream).await?;
                items.push(bulk(stream, &head).await?);
            }
            Ok(items)
        }
        _ => Err(std::io::Error::other(head)),
    }
}

fn bulk_string(word: &str) -> String {
    format!("${}\r\n{word}\r\n", word.len())
}

async fn line(stream: &mut BufReader<TcpStream>) -> std::io::Result<(char, String)> {
    let mut text = String::new();
    stream.take(REPLY_BYTES_MAX as u64).read_line(&mut text).await?;
    let mut chars = text.trim_end().chars();
    let kind = chars.next().ok_or_else(|| std::io::Error::other("it closed the connection"))?;
    Ok((kind, chars.collect()))
}

async fn bulk(stream: &mut BufReader<TcpStream>, head: &str) -> std::io::Result<String> {
    let length: usize = head.parse().map_err(|_| std::io::Error::other("an answer without a value"))?;
    if length > REPLY_BYTES_MAX {
        return Err(std::io::Error::other("too long an answer"));
    }
    let mut bytes = vec![0; length + 2];
    stream.read_exact(&mut bytes).await?;
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_lose_their_credentials() {
        let cases = [
            ("redis://127.0.0.1:6390/", "redis://127.0.0.1:6390/", 6390, None, None),
            ("redis://:secret@host/2", "redis://host/2", 6379, None, Some("secret")),
            ("redis://me:a@b@host:1", "redis://host:1", 1, Some("me"), Some("a@b")),
        ];
        for (url, bare, port, user, password) in cases {
            let parsed = RedisUrl::parse(url).expect(url);
            assert_eq!((parsed.bare.as_str(), parsed.port), (bare, port), "{url}");
            assert_eq!((parsed.user.as_deref(), parsed.password.as_deref()), (user, password), "{url}");
        }
        assert!(RedisUrl::parse("http://x").is_err() && RedisUrl::parse("redis://x:y").is_err());
    }
}
