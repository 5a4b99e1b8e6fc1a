//! `cmdiag serve`.

use crate::cli::{Role, ServeArgs};
use crate::commands::done;
use crate::config::{Config, DEFAULT_LISTEN};
use crate::output;
use crate::platform::{Catalogue, Parts, Platform, Roles, WhatIfs};
use anyhow::{Context, Result, bail};
use api::options::{ApiOptions, ApiToken};
use api::state::{ApiParts, ApiState};
use axum::serve::ListenerExt;
use command_side::SystemClock;
use domain::Actor;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long open streams and requests may take to end.
const DRAIN_BOUND: Duration = Duration::from_secs(5);

/// Runs the platform until it is stopped.
pub async fn run(config: Config, actor: Actor, arguments: &ServeArgs) -> Result<ExitCode> {
    let platform = Platform::connect(config, actor, true).await?;
    let roles = Roles::start(&platform, &arguments.roles);
    let names: Vec<String> = arguments.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
    let described = format!("{}: {}", names.join(", "), platform.servers.describe());
    if arguments.roles.contains(&Role::Api) {
        let served = listen(&platform, &roles, arguments.listen, false).await?;
        output::line(&format!("serving {described}"))?;
        output::line(&format!("API at {}/graphql", served.url()))?;
        crate::shutdown::requested().await;
        served.stop().await;
    } else {
        // The address is the API's; without it there is still a line to wait for.
        output::line(&format!("serving {described}; no API in this process (http://-)"))?;
        crate::shutdown::requested().await;
    }
    done(platform, roles).await;
    Ok(ExitCode::SUCCESS)
}

/// A listening API.
pub struct Served {
    address: SocketAddr,
    state: ApiState,
    cancel: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Served {
    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends streams and requests, bounded.
    pub async fn stop(self) {
        self.cancel.cancel();
        let ended = async {
            self.state.drained().await;
            let _ = self.task.await;
        };
        if tokio::time::timeout(DRAIN_BOUND, ended).await.is_err() {
            tracing::warn!("some requests did not end within 5 s");
        }
    }
}

/// Starts the API. `any_port`: where the default address is taken, a free one will do.
pub async fn listen(platform: &Platform, roles: &Roles, address: Option<SocketAddr>, any_port: bool) -> Result<Served> {
    let configured = address.or(platform.config.server.listen);
    let listener = match configured {
        Some(address) => bind(address).await?,
        None => {
            let default: SocketAddr = DEFAULT_LISTEN.parse().context("the default address")?;
            match bind(default).await {
                Err(_) if any_port => bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?,
                other => other?,
            }
        }
    };
    let address = listener.local_addr().context("the API's address")?;
    if !address.ip().is_loopback() && platform.config.server.tokens.is_empty() {
        bail!("{address} is not a loopback address: configure at least one [[server.tokens]] first");
    }
    let cancel = platform.cancel.child_token();
    let mut parts = parts(platform, roles, &cancel)?;
    if parts.options.tokens.is_empty() {
        // Without tokens only the local operator may speak: a web page whose name is rebound to this address may not.
        parts.options.allowed_hosts = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
    }
    let state = ApiState::new(parts);
    let router = api::router(state.clone());
    let ending = cancel.clone();
    // Small answers and events go out at once.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let task = tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(async move { ending.cancelled().await }).await
    });
    Ok(Served { address, state, cancel, task })
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))
}

fn parts(platform: &Platform, roles: &Roles, cancel: &CancellationToken) -> Result<ApiParts> {
    let server = &platform.config.server;
    let mut options = ApiOptions { graphiql: server.graphiql, ..ApiOptions::default() };
    for token in &server.tokens {
        let secret = std::env::var(&token.token_env)
            .with_context(|| format!("the token of {}: environment variable {}", token.actor, token.token_env))?;
        if secret.len() < 16 {
            bail!("the token in {} is shorter than 16 characters", token.token_env);
        }
        let actor = token.actor.parse().context("server.tokens.actor")?;
        options.tokens.push(ApiToken::new(&secret, actor).operating(token.operator));
    }
    let all = Arc::new(Parts {
        statuses: roles.statuses.clone(),
        bus: (*platform.bus).clone(),
        cache: platform.queries.cache().clone(),
        has_redis: platform.servers.redis_url().is_some(),
    });
    Ok(ApiParts {
        bus: Arc::clone(&platform.bus),
        queries: roles.queries.clone(),
        feed: Arc::clone(&platform.feed),
        health: vec![all.clone()],
        metrics: vec![all],
        catalogue: Arc::new(Catalogue {
            packs: Arc::clone(&platform.packs),
            what_ifs: WhatIfs::new(platform, roles.queries.clone()),
        }),
        clock: Arc::new(SystemClock),
        tenant: platform.tenant.clone(),
        options,
        cancel: cancel.clone(),
    })
}
