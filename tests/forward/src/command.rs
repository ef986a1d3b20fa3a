//! The command `tower-agent-status forward`, built and run.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The command, built once with the features it needs.
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--quiet", "--bin", "tower-agent-status"])
            // With an example, Cargo takes the dependencies that it has compiled for the tests.
            .args(["--example", "testing", "--features", "cli,forward,prometheus"])
            .args(["--message-format", "json", "--manifest-path", root])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(built.status.success(), "the command does not build");
        let messages = String::from_utf8(built.stdout).unwrap();
        let executable = messages.lines().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let is_command = message["target"]["name"] == "tower-agent-status";
            message["executable"].as_str().filter(|_| is_command).map(PathBuf::from)
        });
        executable.unwrap()
    })
}

/// A running forwarder. It is killed when it is dropped.
pub struct Running {
    child: Child,
    /// The URL that it has printed.
    pub url: String,
}

/// A command without settings of this machine.
pub fn command() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("AWS_") || name.starts_with("STATUS_") {
            command.env_remove(name);
        }
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.arg("forward").args(["--addr", "127.0.0.1:0"]);
    command
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
        if url.is_empty() {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("the forwarder does not start: {error}");
        }
        Self { child, url: url.trim().to_owned() }
    }

    /// Stops it as an operator would, and returns what it has logged and whether it succeeded.
    pub fn stop(mut self) -> (String, bool) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        let mut logged = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut logged).unwrap();
        (logged, status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
