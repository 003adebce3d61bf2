//! `squall up`: the server.

use crate::client::Target;
use crate::exit::{Done, Stop};
use crate::notify;
use clap::{Args, ValueEnum};
use squall_server::{Listen, Options, Server};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Start the server.
#[derive(Args)]
pub struct Up {
    /// One address for everything instead of StackStorm's three ports on loopback; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Another directory of packs; may be given several times.
    #[arg(long = "packs", value_name = "DIR")]
    packs: Vec<PathBuf>,
    /// What a commit waits for: `full` loses nothing in a power cut, `normal` may lose the last commits then.
    #[arg(long, value_enum, default_value_t = Sync::Full)]
    synchronous: Sync,
    /// Seconds that running actions may go on after a stop was asked for.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    drain: u64,
    /// Let bots of StackStorm confirm for the person that they name, if that person asked through the same bot, in the
    /// same channel. Whoever holds the bot's token can then confirm for anybody.
    #[arg(long)]
    trust_legacy_bots: bool,
    /// Bound what evaluating one expression may cost; may be given several times. `squall limits` lists the names.
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    /// Say less.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sync {
    Full,
    Normal,
    Off,
}

/// Threads of the runtime: the engine decides in microseconds, so two keep up with the store.
const THREADS: usize = 2;

impl Up {
    pub fn run(&self, target: &Target) -> Done {
        let filter = EnvFilter::try_from_env("SQUALL_LOG")
            .unwrap_or_else(|_| EnvFilter::new(if self.quiet { "error" } else { "info" }));
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
        runtime.block_on(self.serve(target))
    }

    async fn serve(&self, target: &Target) -> Done {
        if self.listen.is_some_and(|address| !address.ip().is_loopback()) {
            return Err(Stop::Usage("squall listens on loopback only; put a TLS proxy in front of it".into()));
        }
        let options = Options {
            data: target.data.clone(),
            listen: self.listen.map_or(Listen::StackStorm, Listen::One),
            store: self.store(),
            packs: self.packs.clone(),
            drain: Duration::from_secs(self.drain),
            trust_legacy_bots: self.trust_legacy_bots,
            expressions: super::eval::limits(&self.limits)?,
        };
        // Before anybody can know that it is up: a stop that follows at once is an orderly one as well.
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let server = Server::start(options).await.map_err(|e| Stop::Failed(e.to_string()))?;
        notify::tell(notify::READY);
        if !self.quiet {
            eprint!("{}", welcome(&server, target));
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        notify::tell(notify::STOPPING);
        eprintln!("stopping; again to stop at once");
        tokio::select! {
            () = server.stop() => Ok(()),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    }

    fn store(&self) -> squall_store::sqlite::Options {
        use squall_store::sqlite::Synchronous;
        squall_store::sqlite::Options {
            synchronous: match self.synchronous {
                Sync::Full => Synchronous::Full,
                Sync::Normal => Synchronous::Normal,
                Sync::Off => Synchronous::Off,
            },
            // Nothing may be acknowledged any more; the next start recovers from the log.
            on_fatal: Some(std::sync::Arc::new(|why: &str| {
                eprintln!("the store failed, stopping at once: {why}");
                std::process::exit(FATAL);
            })),
            ..Default::default()
        }
    }
}

/// `EX_IOERR`: what the process ends with when the disk failed.
const FATAL: i32 = 74;

fn welcome(server: &Server, target: &Target) -> String {
    let content = server.content();
    let count = |kind: &str| content.counts.iter().find(|(name, _)| name == kind).map_or(0, |(_, n)| *n);
    let data = target.data.display();
    let mut text = format!(
        "squall {} is up after {} ms: {} packs, {} actions, {} commands\n  API      {}\n  data     {data}\n",
        env!("CARGO_PKG_VERSION"),
        server.start_time().as_millis(),
        count("packs"),
        count("actions"),
        count("aliases"),
        server.endpoints().api,
    );
    if server.is_first_start() {
        let path = squall_server::Credential::path(&target.data);
        text.push_str(&format!("  admin    credential in {} (for this machine's commands)\n", path.display()));
    }
    let option = if data.to_string() == "./squall-data" { String::new() } else { format!(" --data {data}") };
    text.push_str(&format!("  chat     squall{option} chat --as alice\n"));
    for problem in &content.diagnostics {
        text.push_str(&format!("\n{problem}\n"));
    }
    text
}
