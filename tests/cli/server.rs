//! A mock of DynamoDB with canned responses.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value as Json, json};

use crate::support::{Finished, command};

type Answers = Arc<Mutex<HashMap<&'static str, (StatusCode, Json)>>>;

/// How often each operation was requested.
type Requests = Arc<Mutex<HashMap<String, usize>>>;

/// A mock server. It runs until the process ends.
#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    answers: Answers,
    requests: Requests,
}

impl Server {
    /// Starts a server with an empty table, set up as the command would.
    pub(crate) fn start() -> Self {
        let answers = Answers::default();
        let requests = Requests::default();
        let state = (Arc::clone(&answers), Arc::clone(&requests));
        let router = Router::new().fallback(answer).with_state(state);
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        let server = Self { address, answers, requests };
        server.respond("DescribeTable", table());
        let ttl = json!({ "TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAt" });
        server.respond("DescribeTimeToLive", json!({ "TimeToLiveDescription": ttl }));
        for operation in ["UpdateItem", "GetItem", "DeleteItem"] {
            server.respond(operation, json!({}));
        }
        server.respond("BatchGetItem", json!({ "Responses": {} }));
        for operation in ["Query", "Scan"] {
            server.respond(operation, json!({ "Items": [] }));
        }
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often an operation was requested.
    pub(crate) fn requests(&self, operation: &str) -> usize {
        self.requests.lock().unwrap().get(operation).copied().unwrap_or(0)
    }

    /// Sets the response of an operation.
    pub(crate) fn respond(&self, operation: &'static str, answer: Json) {
        self.answers.lock().unwrap().insert(operation, (StatusCode::OK, answer));
    }

    /// Makes an operation fail.
    pub(crate) fn refuse(&self, operation: &'static str, code: &str, message: &str) {
        let answer = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message });
        self.answers.lock().unwrap().insert(operation, (StatusCode::BAD_REQUEST, answer));
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(self.command(arguments).output().unwrap())
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = command();
        command
            .args(arguments)
            .env("STATUS_TABLE_NAME", "status")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL_DYNAMODB", self.url());
        command
    }
}

/// The description of a table that is set up as needed.
pub(crate) fn table() -> Json {
    let key = |name: &str, role: &str| json!({ "AttributeName": name, "KeyType": role });
    let text = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    json!({ "Table": {
        "TableName": "status",
        "TableStatus": "ACTIVE",
        "KeySchema": [key("sessionId", "HASH")],
        "AttributeDefinitions": [text("sessionId"), text("createdDay"), text("createdAt")],
        "BillingModeSummary": { "BillingMode": "PAY_PER_REQUEST" },
        "GlobalSecondaryIndexes": [{
            "IndexName": "by-day",
            "IndexStatus": "ACTIVE",
            "KeySchema": [key("createdDay", "HASH"), key("createdAt", "RANGE")],
            "Projection": { "ProjectionType": "KEYS_ONLY" },
        }],
    } })
}

async fn answer(
    State((answers, requests)): State<(Answers, Requests)>,
    headers: HeaderMap,
    _: Bytes,
) -> (StatusCode, String) {
    let target = headers.get("x-amz-target").unwrap().to_str().unwrap();
    let operation = target.rsplit('.').next().unwrap();
    *requests.lock().unwrap().entry(operation.to_owned()).or_default() += 1;
    let answers = answers.lock().unwrap();
    let unknown = json!({ "__type": "UnknownOperationException", "message": operation });
    let (status, answer) =
        answers.get(operation).cloned().unwrap_or((StatusCode::BAD_REQUEST, unknown));
    (status, answer.to_string())
}
