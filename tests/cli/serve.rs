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

#[cfg(unix)]
fn end(mut serve: Child, signal: &str) -> Option<i32> {
    let id = serve.id().to_string();
    assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
    serve.wait().unwrap().code()
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
