//! The command line.

use crate::commands::as_of::PastArgs;
use crate::platform::event_log::Backend;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Finds out what is wrong with a Content Manager deployment, and keeps a history that can be replayed.
#[derive(Debug, Parser)]
#[command(name = "cmdiag", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Configuration file (default: CMDIAG_CONFIG, else cmdiag.toml in the working folder)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to print results
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Who acts, as recorded in the history (default: the login name)
    #[arg(long, global = true, value_name = "NAME", env = "CMDIAG_ACTOR")]
    pub actor: Option<String>,
    /// Where events are kept (default: CMDIAG_EVENT_STORE, else the configuration, else postgresql)
    #[arg(long, global = true, value_enum, value_name = "BACKEND")]
    pub event_store: Option<Backend>,
    /// The KurrentDB server or cluster, such as esdb://db.example:2113 (default: CMDIAG_KURRENTDB_URL)
    #[arg(long, global = true, value_name = "URL")]
    pub kurrentdb_url: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the platform until it is stopped
    Serve(ServeArgs),
    /// Bring the database's schema up to date
    Migrate {
        /// Only say how many migrations are missing; exit code 1 if any is
        #[arg(long)]
        check: bool,
    },
    /// Deployments under care
    #[command(subcommand)]
    Deployment(DeploymentCommand),
    /// Diagnose a deployment; the exit code follows the Nagios contract (0 ok, 1 warning, 2 critical, 3 unknown)
    Diagnose(DiagnoseArgs),
    /// Past and present runs
    #[command(args_conflicts_with_subcommands = true)]
    Runs {
        #[command(subcommand)]
        command: Option<RunsCommand>,
        /// Only of this deployment (name or id)
        #[arg(long)]
        deployment: Option<String>,
        /// At most so many, newest first
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        #[command(flatten)]
        past: PastArgs,
    },
    /// Findings: what is wrong, why, and what to do
    #[command(subcommand)]
    Findings(FindingsCommand),
    /// Put a finding right: plan, dry run, approval, steps, post-check; or take it back
    ///
    /// Without a flag: asks for a remediation and follows it until it rests or waits for a person. Exit code 0: done as
    /// wanted; 1: not done, and nothing of it left behind; 2: a person is needed; 3: it waits.
    Remediate(RemediateArgs),
    /// Remediations, newest first
    #[command(subcommand)]
    Remediations(RemediationsCommand),
    /// What may be done, by itself or once approved, and how much of it at a time
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Stop every remediation at once
    #[command(subcommand)]
    EmergencyStop(EmergencyStopCommand),
    /// Actions that runbooks are made of
    #[command(subcommand)]
    Actions(ActionsCommand),
    /// The views: how far they are, filling them anew while they are served, events that they pass over
    #[command(subcommand)]
    Projections(crate::commands::projections::ProjectionsCommand),
    /// Why something is there: who asked, what was decided and refused, what happened, what followed
    Why(crate::commands::why::WhyArgs),
    /// What another check or threshold would have found: stored measurements judged anew, nothing measured
    WhatIf(crate::commands::what_if::WhatIfArgs),
    /// The events of one stream, oldest first, such as DiagnosticRun-ID, or `all`
    History {
        /// AGGREGATE-ID, or `all`
        stream: String,
        /// Only events after this version (or position, for `all`)
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// At most so many
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[command(flatten)]
        past: PastArgs,
    },
    /// The history and its reports, to take away: CloudEvents, Parquet, SARIF, JUnit, CSV, pages to print
    #[command(subcommand)]
    Export(crate::commands::export::ExportCommand),
    /// What events there are, in which versions, and what they hold
    #[command(subcommand)]
    Schema(crate::commands::schema::SchemaCommand),
    /// What the history proves: verify it, take it away, prove one event, keep its keys
    #[command(subcommand)]
    Audit(crate::commands::audit::AuditCommand),
    /// Check packs
    #[command(subcommand)]
    Packs(PacksCommand),
    /// The lab: a double of a Content Manager deployment on real parts, with faults to plant
    #[command(subcommand)]
    Lab(LabCommand),
    /// Run one phase of an action in a process of its own: the platform starts it, people do not
    #[command(hide = true)]
    ActionHost,
    /// Say what is wrong with the platform's own set-up; exit code 0 only if nothing is
    Doctor,
    /// The whole way on the lab: plant faults, diagnose, score, serve
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Which parts to run in this process
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Role::ALL)]
    pub roles: Vec<Role>,
    /// Address of the API (default: 127.0.0.1:8480)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<std::net::SocketAddr>,
}

/// A part of the platform that a process can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// GraphQL, health, metrics
    Api,
    /// Process managers: plan runs, keep findings, end what is overdue
    Commands,
    /// Projections
    Projector,
    /// Probes
    Engine,
    /// Seals and signs the history
    Sealer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Api, Self::Commands, Self::Projector, Self::Engine, Self::Sealer];
}

#[derive(Debug, Subcommand)]
pub enum DeploymentCommand {
    /// Take a deployment under care
    Add {
        /// A TOML file that describes it: name, product_version, a `[[component]]` table each; `-` reads standard input
        file: PathBuf,
    },
    /// All deployments
    List {
        #[command(flatten)]
        past: PastArgs,
    },
    /// One deployment with its components
    Show {
        /// Name or id
        deployment: String,
        #[command(flatten)]
        past: PastArgs,
    },
    /// End the care; the history stays
    Retire {
        /// Name or id
        deployment: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// Name or id of the deployment
    pub deployment: String,
    /// Which checks: quick or full
    #[arg(long, default_value = "full")]
    pub profile: String,
    /// Only these checks (codes), separated by commas
    #[arg(long, value_delimiter = ',')]
    pub checks: Vec<String>,
    /// Show progress while it runs
    #[arg(long)]
    pub watch: bool,
    /// End the run after so many seconds
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub deadline: u32,
}

#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// Two runs beside each other: what is new, came back, is worse, is gone, and what happened in between
    ///
    /// Exit code 0: nothing is worse; 1: something is; 3: nothing is as far as both runs measured, but one did not
    /// measure all.
    Diff(crate::commands::runs_diff::RunsDiffArgs),
}

#[derive(Debug, Subcommand)]
pub enum FindingsCommand {
    /// Findings, worst first
    List {
        /// Only of this deployment (name or id)
        #[arg(long)]
        deployment: Option<String>,
        /// Also those that are resolved or marked as no problem
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        #[command(flatten)]
        past: PastArgs,
    },
    /// One finding with evidence, advice and history
    Show {
        /// Its id (or the beginning of it)
        finding: String,
        #[command(flatten)]
        past: PastArgs,
    },
    /// Take a finding on
    Acknowledge {
        /// Its id (or the beginning of it)
        finding: String,
        /// What you are doing about it
        #[arg(long)]
        comment: String,
    },
    /// Do not alert for a while
    Mute {
        /// Its id (or the beginning of it)
        finding: String,
        /// For how long, such as 90m, 12h or 7d
        #[arg(long = "for", value_name = "DURATION")]
        duration: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Mark as no problem
    FalsePositive {
        /// Its id (or the beginning of it)
        finding: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line, and at most one is given")]
pub struct RemediateArgs {
    /// The finding's id (or the beginning of it)
    pub finding: String,
    /// Only say what would be changed
    #[arg(long, group = "wish")]
    pub dry_run: bool,
    /// Approve what its newest remediation would change, after showing it
    #[arg(long, group = "wish")]
    pub approve: bool,
    /// Say no
    #[arg(long, group = "wish")]
    pub reject: bool,
    /// Ask somebody else to decide instead of you
    #[arg(long, group = "wish", value_name = "NAME")]
    pub delegate: Option<String>,
    /// Have it done; who approved can not
    #[arg(long, group = "wish")]
    pub execute: bool,
    /// Take back what was done, and prove it
    #[arg(long, group = "wish")]
    pub undo: bool,
    /// Let it go no further; what was done is taken back
    #[arg(long, group = "wish")]
    pub cancel: bool,
    /// Say that you have seen to a stuck one by hand
    #[arg(long, group = "wish")]
    pub release: bool,
    /// By this runbook (default: the one that the policy chooses)
    #[arg(long, value_name = "NAME")]
    pub runbook: Option<String>,
    /// Why, or a word to others
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Approve instead of this person, who has asked for it
    #[arg(long, value_name = "NAME", requires = "approve")]
    pub on_behalf_of: Option<String>,
    /// Follow it for at most so many seconds
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub wait: u32,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum RemediationsCommand {
    /// Remediations, newest first
    List {
        /// Only of this deployment (name or id)
        #[arg(long)]
        deployment: Option<String>,
        /// Only those that are under way or wait
        #[arg(long)]
        open: bool,
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        #[command(flatten)]
        past: PastArgs,
    },
    /// One remediation with its plan, its changes and how far each step has come
    Show {
        /// Its id
        remediation: String,
        #[command(flatten)]
        past: PastArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// The policies that were defined or asked
    List {
        #[command(flatten)]
        past: PastArgs,
    },
    /// What a policy says, what it holds and what it has learned
    Show {
        /// Its name
        #[arg(default_value = "default")]
        policy: String,
        #[command(flatten)]
        past: PastArgs,
    },
    /// Put a policy file in force
    Set {
        /// Its name; a deployment's label `policy` names it, `default` is for all others
        policy: String,
        /// A TOML file; `-` reads standard input
        file: PathBuf,
        /// Why
        #[arg(long, default_value = "set by hand")]
        reason: String,
    },
    /// Let the built-in policy decide again
    Retire {
        /// Its name
        policy: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum EmergencyStopCommand {
    /// No step begins any more, and those under way are cancelled
    Engage {
        /// Take back what has been done by those that are under way
        #[arg(long)]
        undo: bool,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Let remediations go on
    Release {
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Whether it is engaged
    Status {
        #[command(flatten)]
        past: PastArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum ActionsCommand {
    /// All actions
    List,
    /// What an action does, and what it is told
    Explain {
        /// Its name, such as postgres.analyze
        action: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum PacksCommand {
    /// All checks
    List,
    /// Load the packs and run every check's own cases
    Validate {
        /// A folder of packs (default: the packs in force)
        folder: Option<PathBuf>,
    },
    /// What a check measures, how it judges, what to do
    Explain {
        /// Its code, such as CM-FILE-MISSING
        code: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Start the lab and keep it running until Ctrl-C
    Up {
        /// Multiplies its volume (1: 50,000 records, 10,000 files)
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
        scale: u32,
    },
    /// Stop a running lab
    Down,
    /// Plant a fault; without a name: list all
    Break {
        /// Names of faults
        names: Vec<String>,
    },
    /// Remove a fault; without a name: all that are planted
    Mend {
        /// Names of faults
        names: Vec<String>,
    },
    /// Print the description that `deployment add` takes
    Describe,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End by itself; exit code 0 only if nothing was missed and nothing false was raised
    #[arg(long)]
    pub once: bool,
    /// Which faults to plant: names separated by commas, or `all`
    #[arg(long, value_delimiter = ',')]
    pub faults: Vec<String>,
    /// Multiplies the lab's volume
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub scale: u32,
    /// Address of the API (default: 127.0.0.1:8480, or a free port if that is taken)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<std::net::SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
