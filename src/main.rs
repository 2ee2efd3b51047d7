//! The command line.

use std::io::Write;
use std::process::ExitCode;

use bursar::app::App;
use bursar::audit;
use bursar::changes::Changes;
use bursar::clock::Clock;
use bursar::config::{Config, Environment, make_data_dir};
use bursar::context::Context;
use bursar::db::{Database, migrate};
use bursar::error::{Error, Result};
use bursar::global_id;
use bursar::ledger::verify::{Checked, Selection, verify};
use bursar::purchases;
use bursar::seed::Seeded;
use bursar::telemetry;
use bursar_domain::id::{Id, PoolId};
use clap::{Parser, Subcommand};
use uuid::Uuid;

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
    /// Replay the books of all pools, walk all audit logs, and name the first row of each that is wrong.
    ///
    /// May run beside the server. Exit status 0: all is right; 1: something is wrong; 2: it could not be found
    /// out.
    Verify {
        /// Only the pools and the audit log of the organization with this short name.
        #[arg(long, value_name = "SLUG")]
        organization: Option<String>,
        /// Only this pool, and no audit log.
        #[arg(long, value_name = "ID")]
        pool: Option<String>,
    },
    /// Compare the books with those of the payment provider, and name each payment, refund and dispute that differs; then
    /// say of each provider what was compared.
    ///
    /// May run beside the server. Exit status 0: all is right; 1: something differs; 2: it could not be found out.
    Reconcile {
        /// How many days to look back.
        #[arg(long, value_name = "N", default_value_t = 35, value_parser = clap::value_parser!(i64).range(1..=3_650))]
        days: i64,
        /// Book what the provider tells of and the books lack.
        #[arg(long)]
        settle: bool,
    },
    /// Print the permission table.
    Permissions,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Whoever compares has to tell what is wrong from a comparison that failed.
    let compares = matches!(arguments.command, Command::Verify { .. } | Command::Reconcile { .. });
    let failure = if compares { ExitCode::from(2) } else { ExitCode::FAILURE };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bursar: the runtime cannot start: {error}");
            return failure;
        }
    };
    match runtime.block_on(run(arguments.command)) {
        Ok(status) => status,
        Err(message) => {
            eprintln!("bursar: {message}");
            failure
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, String> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Schema { federation: false } => return print(&bursar::graphql::sdl()).map(done),
        Command::Schema { federation: true } => return print(&bursar::graphql::subgraph_sdl()).map(done),
        Command::Permissions => return print(&bursar_domain::permission::table()).map(done),
        _ => {}
    }
    let config = Config::load().map_err(|error| error.to_string())?;
    let outcome = match command {
        Command::Serve => serve(config).await.map(done),
        Command::Migrate { down } => migrate_to(&config, down).await.map(done),
        Command::Token { email } => token(config, &email).await.map(done),
        Command::Seed => seed(config).await.map(done),
        Command::Verify { organization, pool } => verify_pools(&config, organization, pool.as_deref()).await,
        Command::Reconcile { days, settle } => reconcile(config, days, settle).await,
        Command::Schema { .. } | Command::Permissions => Ok(ExitCode::SUCCESS),
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
    let (public, listen) = (config.link(""), config.listen);
    let app = App::open(config, Clock::system()).await?;
    if development && app.seed().await? == Seeded::Made {
        tracing::info!("demonstration data was put into the empty database");
    }
    let web = app.bind().await?;
    app.keep_time();
    let address = web.address().map_or(listen, |address| address);
    tracing::info!(%address, "serving");
    let here = if listen.port() == 0 { format!("http://{address}") } else { public };
    let mut message = format!("\nBursar listens on http://{address}\n  explorer  {here}/graphql\n");
    if development && app.services().courier.mailbox().is_some() {
        message += &format!("  sign in   {here}/sign-in\n  mailbox   {here}/mailbox\n");
    }
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
        make_data_dir(&config.data_dir)
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

async fn reconcile(config: Config, days: i64, settle: bool) -> Result<ExitCode> {
    let nothing = || Error::internal("there is no database of this version here: run `bursar migrate` first");
    if config.database.sqlite_file().is_some_and(|file| !file.exists()) {
        return Err(nothing());
    }
    telemetry::start(&config)?;
    let app = App::open(config, Clock::system()).await?;
    if !app.is_ready().await? {
        app.close().await?;
        return Err(nothing());
    }
    let selling = &app.services().selling;
    let since = selling.context().clock.now().plus_days(-days);
    // When nobody reads any more, the exit status still says what was found.
    let said = |difference: &purchases::Difference| _ = print(&format!("{difference}\n"));
    let reconciled = purchases::reconcile(selling, since, settle, said).await;
    app.close().await?;
    let reconciled = reconciled?;
    for compared in &reconciled.compared {
        let _ = print(&format!("{compared}; over the last {days} days\n"));
    }
    match reconciled.left {
        0 => Ok(ExitCode::SUCCESS),
        left => {
            eprintln!("bursar: {left} payments, refunds or disputes differ");
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn verify_pools(config: &Config, organization: Option<String>, pool: Option<&str>) -> Result<ExitCode> {
    let id = |text: &str| {
        let uuid = || Uuid::parse_str(text).ok().map(|uuid| PoolId::from_u128(uuid.as_u128()));
        let id = global_id::decode(text).or_else(uuid);
        id.ok_or_else(|| Error::invalid("--pool", "is not the id of a pool"))
    };
    let selection = Selection { organization, pool: pool.map(id).transpose()? };
    let slug = selection.organization.as_deref();
    let nothing = "there is no database of this version here: run `bursar migrate` first";
    if config.database.sqlite_file().is_some_and(|file| !file.exists()) {
        return Err(Error::internal(nothing));
    }
    let db = Database::connect(&config.database).await?;
    if migrate::pending(&db).await? > 0 {
        return Err(Error::internal(nothing));
    }
    let context = Context { db, clock: Clock::system(), changes: Changes::to(|_| ()) };
    // When nobody reads any more, the exit status still says what was found.
    let report = verify(&context, &selection, |checked| _ = print(&line(checked))).await;
    let logs = match (&report, selection.pool) {
        (Ok(_), None) => audit::verify(&context, slug, |checked| _ = print(&log_line(checked))).await,
        _ => Ok(0),
    };
    context.db.close().await?;
    let (pools, logs) = (report?.findings().count(), logs?);
    if pools + logs == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("bursar: {pools} pools and {logs} audit logs are wrong");
    Ok(ExitCode::FAILURE)
}

/// What is said of a pool that has been verified.
fn line(checked: &Checked) -> String {
    let Checked { organization, pool, name, version, finding } = checked;
    let pool = global_id::encode(*pool);
    match finding {
        None => format!("{organization} {pool} {name}: {version} versions, all right\n"),
        Some(finding) => {
            format!("{organization} {pool} {name}: right up to {version}, then wrong: {finding}\n")
        }
    }
}

/// What is said of an audit log that has been verified.
fn log_line(checked: &audit::Checked) -> String {
    let audit::Checked { organization, events, finding } = checked;
    let organization = organization.as_deref().unwrap_or("the vendor");
    match finding {
        None => format!("{organization} audit log: {events} events, all right\n"),
        Some(finding) => {
            format!("{organization} audit log: right up to event {events}, then wrong: {finding}\n")
        }
    }
}
