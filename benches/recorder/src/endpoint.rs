//! The server that the status is written to.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

/// The environment variable for a server to use in place of the instant one.
const ENDPOINT: &str = "STATUS_TEST_ENDPOINT";

/// Whether the environment already points to a server.
pub fn is_known() -> bool {
    std::env::var_os("AWS_ENDPOINT_URL_DYNAMODB").is_some()
}

/// Runs this program again with a server in its environment: the one in [`ENDPOINT`], or else
/// one that answers at once, in another process.
pub fn run_again(server: &str) -> ExitStatus {
    let given = std::env::var(ENDPOINT).ok();
    let server = given.is_none().then(|| Server::start(server));
    let url = given.or_else(|| Some(server.as_ref()?.url.clone())).expect("one of the two");
    let this = std::env::current_exe().expect("a program");
    Command::new(this)
        .args(std::env::args_os().skip(1))
        .env("AWS_ENDPOINT_URL_DYNAMODB", url)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("STATUS_TABLE_NAME", "bench-status")
        .status()
        .expect("a second run")
}

struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(program: &str) -> Self {
        let mut process = Command::new(program).stdout(Stdio::piped()).spawn().expect("the server");
        let stdout = process.stdout.take().expect("it was asked for");
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url).expect("an address");
        Self { process, url: url.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
