//! `serve`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use crate::support::{File, HOUR, item};

#[test]
fn other_addresses_than_loopback_need_a_token() {
    let file = File::new("serve-token");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        file.run(["serve", "--addr", address]).assert_code(2).assert_stderr(&[
            "could read the portal",
            "--token-env",
            "127.0.0.1",
        ]);
    }
    file.run(["serve", "--addr", "0.0.0.0:0", "--token-env", "NO_SUCH_TOKEN"])
        .assert_code(2)
        .assert_stderr(&["NO_SUCH_TOKEN is not set", "Bearer"]);
    let output = file
        .command(["serve", "--addr", "127.0.0.1:0", "--token-env", "TOKEN"])
        .env("TOKEN", "two words")
        .output()
        .unwrap();
    let output = crate::support::Finished::of(output);
    output.assert_code(2).assert_stderr(&["token"]);
}

#[test]
fn an_address_in_use_is_named() {
    let file = File::new("serve-taken");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    file.run(["serve", "--addr", &address]).assert_code(2).assert_stderr(&[&address, "--addr"]);
}

#[test]
fn invalid_arguments_are_named() {
    let file = File::new("serve-usage");
    for (name, value) in
        [("--addr", "localhost"), ("--agent", "pdfAdapter"), ("--agent", "=Waiting")]
    {
        file.run(["serve", name, value]).assert_code(2).assert_stderr(&[name]);
    }
    file.run(["serve", "--trace-url", "https://traces.example/"]).assert_code(2).assert_stderr(&[
        "--trace-url",
        "https://traces.example/",
        "{traceId}",
    ]);
}

#[cfg(unix)]
#[tokio::test]
async fn it_prints_its_url_responds_and_stops_on_signals() {
    let file = File::new("serve");
    file.put("s", item("completed", HOUR)).await;
    for signal in ["-INT", "-TERM"] {
        let mut serve = file
            .command(["serve", "--addr", "127.0.0.1:0", "--agent", "pdfAdapter=Waiting for upload"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(serve.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let address = url.trim().strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();

        let answer = get(&address, "/api/workflow/s/status");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("completed") && answer.contains("Waiting for upload"), "{answer}");
        assert_eq!(end(serve, signal), Some(0), "{signal}");
    }
}

/// With the limit of open files that is usual on macOS.
#[cfg(unix)]
#[tokio::test]
async fn half_sent_requests_do_not_use_up_the_descriptors() {
    let file = File::new("serve-half");
    file.put("s", item("completed", HOUR)).await;
    let serve = file.command(["serve", "--addr", "127.0.0.1:0"]);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", r#"ulimit -n 256 && exec "$0" "$@""#]).arg(serve.get_program());
    limited.args(serve.get_args()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut serve = limited.spawn().unwrap();
    let mut url = String::new();
    BufReader::new(serve.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let address = url.trim().strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let halves: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ").unwrap();
            stream
        })
        .collect();
    for path in ["/", "/api/workflow/s/status", "/api/workflow/recent"] {
        let answer = get(&address, path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    drop(halves);
    let mut log = serve.stderr.take().unwrap();
    assert_eq!(end(serve, "-TERM"), Some(0));
    let mut logged = String::new();
    log.read_to_string(&mut logged).unwrap();
    assert_eq!(logged.matches("all connections of the portal are in use").count(), 1, "{logged}");
    assert!(logged.contains("max_connections=192"), "{logged}");
}

#[cfg(unix)]
pub(crate) fn end(mut serve: Child, signal: &str) -> Option<i32> {
    let id = serve.id().to_string();
    assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
    serve.wait().unwrap().code()
}

pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
