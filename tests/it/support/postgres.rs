//! PostgreSQL servers of our own: started from the installed binaries, on a free port of the loopback
//! interface, gone when the process that started them is.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The role that owns the tables.
pub const OWNER: &str = "bursar_owner";
/// The role that the server works as.
pub const APPLICATION: &str = "bursar_app";

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server that most tests share.
pub struct Server {
    /// Its address as superuser, without a database's name at the end.
    pub superuser: String,
    /// Host and port.
    pub host: String,
    _instance: Option<Instance>,
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
            Server { superuser, host, _instance: None }
        }
        Err(_) => {
            // Nothing of it outlives this process: neither a crash nor a replica ever reads its log.
            let instance = Instance::start(&[
                "fsync=off",
                "full_page_writes=off",
                "wal_level=minimal",
                "max_wal_senders=0",
                "max_connections=400",
                "log_min_messages=fatal",
            ]);
            Server { superuser: instance.superuser(), host: instance.host(), _instance: Some(instance) }
        }
    })
}

/// A server of one's own, which can be stopped and started again.
pub struct Instance {
    bin: PathBuf,
    dir: PathBuf,
    port: u16,
    settings: Vec<String>,
    /// Each lives as long as this process: when its input ends, it stops the server.
    guards: Vec<Child>,
}

impl Instance {
    /// Makes a server with settings, like `fsync=off`, and starts it.
    pub fn start(settings: &[&str]) -> Instance {
        let bin = binaries();
        let dir = tempfile::Builder::new().prefix("bursar-pg-").tempdir().unwrap().keep();
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(&dir).status().unwrap();
            assert!(
                owned.success(),
                "the user postgres is missing; install PostgreSQL with: apt-get install postgresql"
            );
        }
        let made = as_user(&bin.join("initdb"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(dir.join("data"))
            .current_dir("/")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut instance = Instance { bin, dir, port, settings, guards: Vec::new() };
        instance.run();
        instance
    }

    /// Starts it again.
    pub fn run(&mut self) {
        // The shell stops the server when its input ends, which is when this process does: by the server's
        // own process id, and with QUIT, which it heeds whatever its starter has made it ignore.
        let dir = self.dir.display();
        let script = format!(
            "\"$@\" & cat > /dev/null; kill -QUIT $(head -n 1 '{dir}/data/postmaster.pid'); wait; rm -rf '{dir}'"
        );
        let server = as_user(&self.bin.join("postgres"));
        let mut guard = Command::new("sh");
        guard.args(["-c", &script, "guard"]).arg(server.get_program()).args(server.get_args());
        guard.args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={}", self.port)]);
        guard.args(["-c", &format!("unix_socket_directories={dir}")]);
        for setting in &self.settings {
            guard.args(["-c", setting]);
        }
        guard.arg("-D").arg(self.dir.join("data")).current_dir("/");
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut guard = guard.spawn().unwrap();
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "PostgreSQL did not start");
            assert!(guard.try_wait().unwrap().is_none(), "PostgreSQL ended at once");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.guards.push(guard);
    }

    /// Stops it by a signal (`INT`: connections are cut off; `QUIT`: like a crash) and waits until it has.
    pub fn stop(&self, signal: &str) {
        let id = self.process_id();
        let kill = Command::new("kill").args([format!("-{signal}"), id.to_string()]).status();
        assert!(kill.unwrap().success());
        let began = Instant::now();
        // Until its id is free: a server does not start while the process that its lock file names is known.
        while stat(id).is_some() {
            assert!(began.elapsed() < PATIENCE, "PostgreSQL did not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the process that all others of the server come from, and waits until they have noticed and ended too:
    /// before that it cannot be started again.
    #[allow(dead_code)]
    pub fn kill(&self) {
        let id = self.process_id();
        // It starts no more while they are counted.
        assert!(Command::new("kill").args(["-STOP", &id.to_string()]).status().unwrap().success());
        let others = children(id);
        self.stop("KILL");
        let began = Instant::now();
        // Those that nobody takes in after their end are known for longer.
        while others.iter().any(|id| stat(*id).is_some_and(|(state, _)| state != "Z")) {
            assert!(began.elapsed() < PATIENCE, "PostgreSQL's processes do not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process that all others of the server come from.
    pub fn process_id(&self) -> u32 {
        let file = std::fs::read_to_string(self.dir.join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// Where one of the server's programs is, for the benches.
    #[allow(dead_code)]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Host and port.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port, for the benches.
    #[allow(dead_code)]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address as superuser, without a database's name at the end.
    pub fn superuser(&self) -> String {
        format!("postgres://postgres@{}", self.host())
    }
}

fn binaries() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    // The newest first, and before what the path has, which may be a part of it only.
    found.sort();
    found.reverse();
    found.extend(std::env::var("PATH").unwrap_or_default().split(':').map(PathBuf::from));
    let usable = found.into_iter().find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists());
    usable.expect("no PostgreSQL server is installed; install it with: apt-get install postgresql")
}

/// A command that runs as a user that may run PostgreSQL, which refuses root.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    // It becomes the program. A parent in between would stop itself when the server is stopped, and the server's
    // id would then stay taken after its end.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

/// The processes that a process has started.
#[allow(dead_code)]
pub fn children(id: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|child| stat(*child).is_some_and(|(_, parent)| parent == id)).collect()
}

/// State and parent of a process.
fn stat(id: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
