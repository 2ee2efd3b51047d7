//! The command line.

use std::io::Write;
use std::process::ExitCode;

use bursar::app::App;
use bursar::clock::Clock;
use bursar::config::{Config, Environment};
use bursar::db::migrate;
use bursar::error::{Error, Result};
use bursar::seed::Seeded;
use bursar::telemetry;
use clap::{Parser, Subcommand};

/// An operation allocates hundreds of small pieces; this allocator takes half the time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A GraphQL API server for the prepaid credits of enterprises.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API. With nothing configured: SQLite in ./data, with demonstration data.
    Serve,
    /// Bring the database to the newest schema.
    Migrate {
        /// Take the newest migrations back instead, and their rows with them.
        #[arg(long, value_name = "STEPS")]
        down: Option<u32>,
    },
    /// Print the schema of the API.
    Schema {
        /// Print it as a subgraph of Apollo Federation.
        #[arg(long)]
        federation: bool,
    },
    /// Print a session token for a person, and nothing else.
    Token {
        /// The person's e-mail address.
        #[arg(long)]
        email: String,
    },
    /// Put demonstration data into an empty database.
    Seed,
    /// Print the permission table.
    Permissions,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bursar: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bursar: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Schema { federation: false } => return print(&bursar::graphql::sdl()),
        Command::Schema { federation: true } => return print(&bursar::graphql::subgraph_sdl()),
        Command::Permissions => return print(&bursar_domain::permission::table()),
        _ => {}
    }
    let config = Config::load().map_err(|error| error.to_string())?;
    let outcome = match command {
        Command::Serve => serve(config).await,
        Command::Migrate { down } => migrate_to(&config, down).await,
        Command::Token { email } => token(config, &email).await,
        Command::Seed => seed(config).await,
        Command::Schema { .. } | Command::Permissions => Ok(()),
    };
    outcome.map_err(|error| match error {
        Error::Invalid { field, reason } => format!("{field}: {reason}"),
        error => error.to_string(),
    })
}

/// Writes to standard output; a reader that has gone away is an error, not a panic.
fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| error.to_string())
}

async fn serve(config: Config) -> Result<()> {
    telemetry::start(&config)?;
    App::prepare(&config).await?;
    let development = config.environment == Environment::Development;
    let (public, listen) = (config.link("/graphql"), config.listen);
    let app = App::open(config, Clock::system()).await?;
    if development && app.seed().await? == Seeded::Made {
        tracing::info!("demonstration data was put into the empty database");
    }
    let web = app.bind().await?;
    let address = web.address().map_or(listen, |address| address);
    tracing::info!(%address, "serving");
    let explorer = if listen.port() == 0 { format!("http://{address}/graphql") } else { public };
    let mut message = format!("\nBursar listens on http://{address}\n  explorer  {explorer}\n");
    if development {
        message += "  token     bursar token --email owner@demo.test\n            (also admin@, manager@, member@, \
                    auditor@demo.test and operator@bursar.test)\n";
    }
    // Nobody may be reading; that is no reason not to serve.
    let _ = print(&(message + "\n"));
    let served = web.serve(stop_signal()).await;
    tracing::info!("stopping: finishing what has begun");
    app.close().await?;
    served.map_err(|error| Error::internal(format!("the server failed: {error}")))
}

async fn migrate_to(config: &Config, down: Option<u32>) -> Result<()> {
    if !config.database.is_postgres() {
        // The file is made in its directory, which has to be there.
        std::fs::create_dir_all(&config.data_dir)
            .map_err(|error| Error::invalid("BURSAR_DATA_DIR", format!("cannot be made: {error}")))?;
    }
    match down {
        Some(steps) => migrate::down(&config.database, Some(steps)).await,
        None => migrate::up(&config.database).await,
    }
}

async fn token(config: Config, email: &str) -> Result<()> {
    if config.environment == Environment::Production {
        return Err(Error::invalid("BURSAR_ENV", "tokens are printed in development only"));
    }
    let nothing =
        || Error::internal("there is no database here yet: run `bursar serve` or `bursar migrate` first");
    if config.database.sqlite_file().is_some_and(|file| !file.exists()) {
        return Err(nothing());
    }
    let app = App::open(config, Clock::system()).await?;
    if !app.is_ready().await? {
        return Err(nothing());
    }
    let token = app.token(email).await?;
    app.close().await?;
    print(&(token + "\n")).map_err(Error::internal)
}

async fn seed(config: Config) -> Result<()> {
    if config.environment == Environment::Production {
        return Err(Error::invalid("BURSAR_ENV", "demonstration data is for development only"));
    }
    App::prepare(&config).await?;
    let app = App::open(config, Clock::system()).await?;
    let seeded = app.seed().await?;
    app.close().await?;
    let message = match seeded {
        Seeded::Made => "demonstration data was put into the database\n",
        Seeded::AlreadyThere => "the database has demonstration data already\n",
    };
    print(message).map_err(Error::internal)
}

/// Ends when the process is asked to stop.
async fn stop_signal() {
    let interrupt = async {
        // Without the handler the signal ends the process at once, which loses nothing acknowledged.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! { () = interrupt => {}, _ = terminate.recv() => {} },
            Err(_) => interrupt.await,
        }
    }
    #[cfg(not(unix))]
    interrupt.await;
}
