//! The costs of recorded answers as the crate itself reads them: their bytes pass through a
//! `StatusLayer`, whose tracker has LiteLLM's list. LiteLLM computes its own from another reading, that
//! of `.ci/prices.py`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tower::{BoxError, ServiceBuilder, ServiceExt as _, service_fn};
use tower_agent_status::pricing::Prices;
use tower_agent_status::status::{TokenUsage, TotalCost};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::usage::{End, ResponseInfo};
use tower_agent_status::{Agent, SessionId, StatusLayer, StatusTracker};

use crate::differences::{Answer, explain_answer};
use crate::rows::{self, Row};
use crate::{FOLDER, is_equal, read, usd};

/// Hosts of the providers of rows. The others are declared, as for a host that is not known.
const HOSTS: &[(&str, &str)] = &[
    ("alibaba", "dashscope-intl.aliyuncs.com"),
    ("anthropic", "api.anthropic.com"),
    ("azure", "contoso.openai.azure.com"),
    ("bedrock", "bedrock-runtime.us-east-1.amazonaws.com"),
    ("cerebras", "api.cerebras.ai"),
    ("cohere", "api.cohere.com"),
    ("deepseek", "api.deepseek.com"),
    ("gemini", "generativelanguage.googleapis.com"),
    ("groq", "api.groq.com"),
    ("mistral", "api.mistral.ai"),
    ("moonshot", "api.moonshot.ai"),
    ("openai", "api.openai.com"),
    ("openrouter", "openrouter.ai"),
    ("perplexity", "api.perplexity.ai"),
    ("together", "api.together.ai"),
    ("vertex", "us-central1-aiplatform.googleapis.com"),
    ("watsonx", "us-south.ml.cloud.ibm.com"),
    ("xai", "api.x.ai"),
];

#[tokio::test(start_paused = true)]
async fn recorded_answers_cost_what_litellm_says() {
    let folder = std::env::var(FOLDER).map(PathBuf::from);
    let Some(folder) = folder.ok().filter(|folder| folder.join("corpus.jsonl").exists()) else {
        return println!(
            "skipped: the costs of recorded answers, since there is no corpus.jsonl in {FOLDER}"
        );
    };
    let prices = Prices::from_file(folder.join("list.json")).unwrap();
    let list = read(&folder.join("list.json")).remove(0);
    let theirs: BTreeMap<_, _> = read(&folder.join("corpus.jsonl"))
        .into_iter()
        .map(|line| (line["id"].as_str().unwrap().to_owned(), line))
        .collect();
    let (mut compared, mut equal) = (0, 0);
    let mut explained = BTreeMap::<_, Vec<String>>::new();
    let mut unexplained = Vec::new();
    for row in rows::all_rows().unwrap() {
        let id = row.json["id"].as_str().unwrap();
        let Some(line) = theirs.get(id).filter(|line| !line["litellm"].is_null()) else { continue };
        let (cost, recorded_usage, model) = cost_of(&row, line["provider"].as_str(), &prices).await;
        let (usage, info) = read_row(&row);
        compared += 1;
        let litellm = line["litellm"].as_f64().unwrap();
        let is_litellm = cost.unpriced_calls == 0
            && cost.usd.is_some_and(|cost| is_equal(usd(cost), litellm, &line["usage"]));
        // LiteLLM computes the cost of the tokens alone; the answer may name others.
        let says_more = info.cost_usd.is_some() || info.web_search_requests.is_some_and(|n| n > 0);
        if is_litellm && !says_more {
            equal += 1;
            continue;
        }
        let answer = Answer {
            list: &list,
            prices: &prices,
            row: &row,
            line,
            cost,
            recorded_usage,
            usage,
            info: &info,
        };
        match explain_answer(&answer) {
            Some(why) => explained.entry(why).or_default().push(id.to_owned()),
            None => unexplained
                .push(format!("{id} {model:?} {usage:?} {info:?}: {cost}, and LiteLLM's {line}")),
        }
    }
    println!(
        "prices: {compared} recorded answers compared with LiteLLM, {equal} equal, {} differ",
        compared - equal
    );
    for (why, ids) in &explained {
        println!("{:>7} {why}: {}", ids.len(), ids.join(" "));
    }
    for text in &unexplained {
        println!("unexplained: {text}");
    }
    assert!(unexplained.is_empty(), "{} differences are unexplained", unexplained.len());
    assert!(equal > 0, "no recorded answer was compared");
}

/// What the layer records for an answer: its cost, its tokens and its model.
async fn cost_of(
    row: &Row,
    provider: Option<&str>,
    prices: &Prices,
) -> (TotalCost, Option<TokenUsage>, Option<String>) {
    let mut agent = Agent::new("agent");
    let request = &row.json["request"];
    if let Some(model) = request["model"].as_str() {
        agent = agent.model(model);
    }
    let of_row = row.json["provider"].as_str().unwrap();
    let host = HOSTS.iter().find(|(provider, _)| *provider == of_row).map(|(_, host)| *host);
    if let (None, Some(provider)) = (host, provider) {
        agent = agent.provider(provider);
    }
    let store = MemoryStore::new();
    let at = SystemTime::UNIX_EPOCH + crate::BILLED_AT;
    let tracker = StatusTracker::builder(store.clone())
        .agents([agent])
        .prices(prices.clone())
        .clock(move || at)
        .start()
        .unwrap();
    let service = ServiceBuilder::new().layer(StatusLayer::new(&tracker, "agent")).service(
        service_fn(|_: http::Request<Full<Bytes>>| async {
            let mut response = http::Response::new(Full::new(Bytes::from(row.body.clone())));
            *response.status_mut() = row.status().try_into().unwrap();
            *response.headers_mut() = row.headers();
            Ok::<_, BoxError>(response)
        }),
    );
    // Some recorders have put placeholders in.
    let path = request["path"].as_str().unwrap_or("/").replace(['<', '>'], "");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let method = request["method"].as_str().unwrap_or("POST");
    let request = http::Request::builder()
        .method(method)
        .uri(format!("https://{}{slash}{path}", host.unwrap_or("agent.example")))
        .extension(SessionId::new("s").unwrap());
    let request = request.body(Full::default()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    tracker.flush().await.unwrap();
    let status = store.status("s").unwrap();
    let agent = status.agent("agent").unwrap();
    (agent.cost(), agent.token_usage(), agent.model.as_deref().map(ToOwned::to_owned))
}

/// What the crate's reader finds in an answer.
fn read_row(row: &Row) -> (Option<TokenUsage>, ResponseInfo) {
    let mut reader = row.reader();
    reader.feed(&row.body);
    let usage = reader.finish(End::Complete).usage;
    (usage, reader.info())
}

/// The decoded text of an answer.
pub(crate) fn text_of(row: &Row) -> String {
    let mut text = Vec::new();
    if row.json["content_encoding"] == "gzip" {
        flate2::read::MultiGzDecoder::new(&*row.body).read_to_end(&mut text).unwrap();
    } else {
        text.clone_from(&row.body);
    }
    String::from_utf8_lossy(&text).into_owned()
}
