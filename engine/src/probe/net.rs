//! What the network probes share.

use super::{ProbeError, Target};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How long a look-up of a name may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest file of trust roots read.
const MAX_CA_BYTES: u64 = 1024 * 1024;

/// The settings `host` and `port`; of a component that only has a `url`, the parts of that.
pub(super) fn endpoint(target: &Target, default_port: u16) -> Result<(String, u16), ProbeError> {
    if let Some(host) = target.optional("host") {
        let port = match target.optional("port") {
            None => default_port,
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| ProbeError::configuration(format!("setting \"port\" is {text:?}, and that is no port")))?,
        };
        return Ok((host.to_owned(), port));
    }
    let url = target.setting("url")?;
    let parsed = reqwest::Url::parse(url)
        .map_err(|error| ProbeError::configuration(format!("setting \"url\" is no URL: {error}")))?;
    let host = parsed.host_str().ok_or_else(|| ProbeError::configuration("setting \"url\" names no host"))?;
    let port = parsed.port_or_known_default().unwrap_or(default_port);
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

/// The addresses of a host. That a name does not resolve is an error: nothing was measured of the target.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ProbeError> {
    let fail = |why: String| ProbeError::unreachable(format!("the name {host} does not resolve: {why}"));
    match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host, port))).await {
        Err(_) => Err(fail(format!("no answer within {} s", RESOLVE_TIMEOUT.as_secs()))),
        Ok(Err(error)) => Err(fail(error.to_string())),
        Ok(Ok(found)) => {
            let addresses: Vec<SocketAddr> = found.collect();
            if addresses.is_empty() { Err(fail("it has no address".to_owned())) } else { Ok(addresses) }
        }
    }
}

/// The PEM file of further trust roots that the setting `ca` names.
pub(super) fn read_ca(path: &str) -> Result<Vec<u8>, ProbeError> {
    use std::io::Read;
    let fail = |error: std::io::Error| ProbeError::configuration(format!("the trust roots in {path}: {error}"));
    let mut bytes = Vec::new();
    std::fs::File::open(Path::new(path)).map_err(fail)?.take(MAX_CA_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}
