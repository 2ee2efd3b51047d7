//! A PostgreSQL server of the tests' own: started once from the installed binaries, on a free port of
//! the loopback interface, gone when the test process is.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The role that owns the tables.
pub const OWNER: &str = "bursar_owner";
/// The role that the server works as.
pub const APPLICATION: &str = "bursar_app";

/// A running server.
pub struct Server {
    /// Its address as superuser, without a database's name at the end.
    pub superuser: String,
    /// Host and port.
    pub host: String,
    /// Lives as long as this process: when its input ends, it stops the server.
    _guard: Option<Child>,
}

/// The server of this process, or the one that `TEST_DATABASE_URL` names.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| match std::env::var("TEST_DATABASE_URL") {
        Ok(url) => {
            let parsed = url::Url::parse(&url).expect("TEST_DATABASE_URL is a URL of a superuser");
            let host =
                format!("{}:{}", parsed.host_str().unwrap_or("127.0.0.1"), parsed.port().unwrap_or(5432));
            let superuser = url.rsplit_once('/').map_or(url.clone(), |(server, _)| server.to_owned());
            Server { superuser, host, _guard: None }
        }
        Err(_) => start(),
    })
}

fn binaries() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    found.extend(std::env::var("PATH").unwrap_or_default().split(':').map(PathBuf::from));
    found.sort();
    let usable =
        found.into_iter().rev().find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists());
    usable.expect("no PostgreSQL server is installed; install it with: apt-get install postgresql")
}

/// A command that runs as a user that may run PostgreSQL, which refuses root.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

fn start() -> Server {
    let bin = binaries();
    let dir = tempfile::Builder::new().prefix("bursar-pg-").tempdir().unwrap().keep();
    if is_root() {
        let owned = Command::new("chown").arg("postgres").arg(&dir).status().unwrap();
        assert!(
            owned.success(),
            "the user postgres is missing; install PostgreSQL with: apt-get install postgresql"
        );
    }
    let data = dir.join("data");
    let made = as_user(&bin.join("initdb"))
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data)
        .current_dir("/")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success(), "initdb failed");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // The shell stops the server when its input ends, which is when this process does: by the server's own
    // process id, and with QUIT, which it heeds whatever its starter has made it ignore.
    let dir_name = dir.display();
    let script = format!(
        "\"$@\" & cat > /dev/null; kill -QUIT $(head -n 1 '{dir_name}/data/postmaster.pid'); wait; rm -rf '{dir_name}'"
    );
    let server = as_user(&bin.join("postgres"));
    let mut guard = Command::new("sh");
    guard.args(["-c", &script, "guard"]).arg(server.get_program()).args(server.get_args());
    for setting in [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", dir.display()),
        "fsync=off".to_owned(),
        "max_connections=400".to_owned(),
        "log_min_messages=fatal".to_owned(),
    ] {
        guard.args(["-c", &setting]);
    }
    let mut guard = guard
        .arg("-D")
        .arg(&data)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "PostgreSQL did not start");
        assert!(guard.try_wait().unwrap().is_none(), "PostgreSQL ended at once");
        std::thread::sleep(Duration::from_millis(20));
    }
    if let Some(input) = guard.stdin.as_mut() {
        input.flush().unwrap();
    }
    let host = format!("127.0.0.1:{port}");
    Server { superuser: format!("postgres://postgres@{host}"), host, _guard: Some(guard) }
}
