"""Calls mocked agents with the clients of OpenAI, Anthropic and AWS through the forwarder, and checks
what each client sees and what is stored.

    check.py PATH_OF_THE_COMMAND
"""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import agents
import anthropic
import boto3
import botocore.config
import botocore.exceptions
import openai

COMMAND = sys.argv[1]
ARN = f"arn:aws:bedrock-agentcore:{agents.REGION}:123456789012:runtime/pdf_adapter-x1"
TOKEN = "hunter2"
QUESTION = [{"role": "user", "content": "how many?"}]

# The agent, its status, the class of its error, its tokens and its calls, by session.
expected = {}


def expect(session, status, error=None, tokens=None, calls=1, agent="tradeExtraction"):
    expected[session] = (agent, status, error, tokens, calls)


@contextlib.contextmanager
def forwarder(server, secure, folder):
    url = f"http://127.0.0.1:{server.server_port}"
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": agents.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": agents.SECRET_KEY,
        "AWS_REGION": agents.REGION,
        "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "STATUS_FORWARD_TOKEN": TOKEN,
        "SSL_CERT_FILE": f"{folder}/agent.pem",
    }
    command = [COMMAND, "forward", "--addr", "127.0.0.1:0", "--embedded", f"{folder}/status.db", "--token-env", "STATUS_FORWARD_TOKEN"]
    command += ["--agent", f"tradeExtraction={url}/v1", "--agent", f"tradeMatching={url}", "--agent", f"pdfAdapter={ARN}"]
    command += ["--agent", f"secure=https://127.0.0.1:{secure.server_port}/v1", "--max-signed-body", "1000000"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        assert address, process.stderr.read()
        yield address
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=60)[1]
        assert process.returncode == 0, log
        assert TOKEN not in log and "WARN" not in log and "ERROR" not in log, log
    finally:
        process.kill()


def base(root, agent, session):
    """With the token in the path: these clients accept only a base URL."""
    return f"{root}/{TOKEN}/{agent}/~{session}"


def openai_sync(root):
    client = lambda session, **more: openai.OpenAI(api_key="sk", base_url=base(root, "tradeExtraction", session), **more)
    answer = client("openai").chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    assert answer.choices[0].message.content == "three trades" and answer.usage.total_tokens == 15
    expect("openai", "success", tokens=15)

    stream = client("openai-stream").chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream) == "three trades"
    expect("openai-stream", "success", tokens=15)

    client("openai-retry").chat.completions.create(model="flaky", messages=QUESTION)
    expect("openai-retry", "success", tokens=15, calls=3)

    try:
        client("openai-unknown").chat.completions.create(model="unknown", messages=QUESTION)
        raise AssertionError("no error")
    except openai.NotFoundError as error:
        assert error.body["message"] == "no such model", error.body
    expect("openai-unknown", "error", error="http_404")

    stream = client("openai-leaves").chat.completions.create(model="endless", messages=QUESTION, stream=True)
    next(iter(stream))
    stream.close()
    expect("openai-leaves", "error", error="cancelled")

    client = openai.OpenAI(api_key="sk", base_url=base(root, "secure", "openai-tls"))
    client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    expect("openai-tls", "success", tokens=15, agent="secure")

    # The client finds the forwarder's own errors where it looks for those of the API.
    try:
        openai.OpenAI(api_key="sk", base_url=f"{root}/{TOKEN}/nobody").models.list()
        raise AssertionError("no error")
    except openai.NotFoundError as error:
        assert error.body["type"] == "not_found", error.body

    # The session and the token in headers.
    headers = {"x-workflow-session-id": "openai-header", "x-agent-status-token": TOKEN}
    client = openai.OpenAI(api_key="sk", base_url=f"{root}/tradeExtraction", default_headers=headers)
    client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    expect("openai-header", "success", tokens=15)


async def openai_async(root):
    async def call(n):
        session = f"openai-async-{n}"
        async with openai.AsyncOpenAI(api_key="sk", base_url=base(root, "tradeExtraction", session)) as client:
            if n % 2:
                answer = await client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
                assert answer.choices[0].message.content == "three trades"
            else:
                stream = await client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True)
                assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "three trades"
        expect(session, "success", tokens=15)

    await asyncio.gather(*map(call, range(20)))

    async with openai.AsyncOpenAI(api_key="sk", base_url=base(root, "tradeExtraction", "openai-async-retry")) as client:
        await client.chat.completions.create(model="flaky", messages=QUESTION)
    expect("openai-async-retry", "success", tokens=15, calls=3)

    async with openai.AsyncOpenAI(api_key="sk", base_url=base(root, "tradeExtraction", "openai-cancelled")) as client:
        stream = await client.chat.completions.create(model="endless", messages=QUESTION, stream=True)

        async def read():
            async for _ in stream:
                pass

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(read(), 0.3)
    expect("openai-cancelled", "error", error="cancelled")


def anthropic_sync(root):
    client = lambda session: anthropic.Anthropic(api_key="sk", base_url=base(root, "tradeMatching", session))
    question = {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": QUESTION}
    answer = client("anthropic").messages.create(**question)
    assert answer.content[0].text == "three trades"
    expect("anthropic", "success", tokens=40, agent="tradeMatching")
    with client("anthropic-stream").messages.stream(**question) as stream:
        assert "".join(stream.text_stream) == "three trades"
    expect("anthropic-stream", "success", tokens=40, agent="tradeMatching")
    client("anthropic-retry").messages.create(**{**question, "model": "flaky"})
    expect("anthropic-retry", "success", tokens=40, calls=3, agent="tradeMatching")
    with client("anthropic-leaves").messages.create(**{**question, "model": "endless"}, stream=True) as stream:
        next(iter(stream))
    # What the first event has told.
    expect("anthropic-leaves", "error", error="cancelled", tokens=26, agent="tradeMatching")


async def anthropic_async(root):
    question = {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": QUESTION}
    async with anthropic.AsyncAnthropic(api_key="sk", base_url=base(root, "tradeMatching", "anthropic-async")) as client:
        async with client.messages.stream(**question) as stream:
            assert (await stream.get_final_message()).usage.output_tokens == 15
    expect("anthropic-async", "success", tokens=40, agent="tradeMatching")
    async with anthropic.AsyncAnthropic(api_key="sk", base_url=base(root, "tradeMatching", "anthropic-async-retry")) as client:
        answer = await client.messages.create(**{**question, "model": "flaky"})
        assert answer.content[0].text == "three trades"
    expect("anthropic-async-retry", "success", tokens=40, calls=3, agent="tradeMatching")


def aws(root, server):
    def client(session, attempts=1):
        return boto3.client(
            "bedrock-agentcore",
            region_name="us-east-1",
            endpoint_url=base(root, "pdfAdapter", session),
            aws_access_key_id="CLIENT",
            aws_secret_access_key="client-secret",
            aws_session_token="client-token",
            config=botocore.config.Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
        )

    call = {"agentRuntimeArn": ARN, "runtimeSessionId": "r" * 40, "contentType": "application/json", "accept": "application/json"}
    answer = client("boto3").invoke_agent_runtime(payload=b'{"prompt": 1}', **call)
    assert json.loads(answer["response"].read())["success"] is True
    expect("boto3", "success", tokens=9, agent="pdfAdapter")
    headers = {name.lower(): value for name, value in server.requests[-1][1].items()}
    assert headers["x-amzn-bedrock-agentcore-runtime-session-id"] == "r" * 40
    assert "CLIENT" not in str(headers) and "client-token" not in str(headers), headers

    answer = client("boto3-stream").invoke_agent_runtime(payload=b'{"stream": 1}', **call)
    lines = [line for line in answer["response"].iter_lines() if line]
    assert len(lines) == 2 and b"working" in lines[0], lines
    expect("boto3-stream", "success", tokens=9, agent="pdfAdapter")

    answer = client("boto3-retry", attempts=3).invoke_agent_runtime(payload=b'{"flaky": 1}', **call)
    assert json.loads(answer["response"].read())["success"] is True
    expect("boto3-retry", "success", tokens=9, calls=3, agent="pdfAdapter")

    answer = client("boto3-leaves").invoke_agent_runtime(payload=b'{"endless": 1}', **call)
    next(answer["response"].iter_lines())
    answer["response"].close()
    expect("boto3-leaves", "error", error="cancelled", agent="pdfAdapter")

    before = len(server.requests)
    for arn, payload, status in [
        (ARN.replace("pdf", "csv"), b"{}", 404),
        (ARN, b"x" * 1_000_001, 413),
    ]:
        try:
            client(f"boto3-{status}").invoke_agent_runtime(payload=payload, **{**call, "agentRuntimeArn": arn})
            raise AssertionError("no error")
        except botocore.exceptions.ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error.response
    assert len(server.requests) == before, "nothing of these reaches the runtime"
    expect("boto3-413", "error", error="http_413", agent="pdfAdapter")

    # A client without an SDK.
    request = urllib.request.Request(base(root, "pdfAdapter", "plain") + "/invocations", b'{"prompt": 1}')
    request.add_header("content-type", "application/json")
    assert json.load(urllib.request.urlopen(request))["success"] is True
    expect("plain", "success", tokens=9, agent="pdfAdapter")


def node(root):
    script = pathlib.Path(__file__).with_name("openai.mjs")
    subprocess.run(["node", script, f"{root}/{TOKEN}/tradeExtraction"], check=True, timeout=120)
    expect("node", "success", tokens=15)
    expect("node-stream", "success", tokens=15)
    expect("node-retry", "success", tokens=15, calls=3)
    expect("node-leaves", "error", error="cancelled")


def example(root):
    """The orchestrator in Python, which has nothing but its base URLs changed."""
    script = pathlib.Path(__file__).parents[3] / "examples/forward/orchestrator.py"
    keys = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    environment = {**os.environ, **dict.fromkeys(keys, "key"), "AWS_DEFAULT_REGION": agents.REGION}
    environment |= {"FORWARD_URL": f"{root}/{TOKEN}", "PDF_ADAPTER_ARN": ARN}
    done = subprocess.run([sys.executable, script, "trades"], env=environment, capture_output=True, text=True)
    assert done.stdout == "three trades\n", done
    return done.stderr.strip()


def workflow(root):
    def tell(method, path, body):
        request = urllib.request.Request(f"{root}/-/workflows/{path}", json.dumps(body).encode(), method=method)
        request.add_header("content-type", "application/json")
        request.add_header("x-agent-status-token", TOKEN)
        return json.load(urllib.request.urlopen(request))

    tell("PUT", "workflow", {"correlationId": "corr_1", "attributes": {"documentId": "FAB_1"}})
    client = openai.OpenAI(api_key="sk", base_url=base(root, "tradeExtraction", "workflow"))
    client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    assert tell("POST", "workflow/complete", {})["overallStatus"] == "completed"
    expect("workflow", "success", tokens=15)


def item(folder, session):
    command = [COMMAND, "show", "--embedded", f"{folder}/status.db", "--json", session]
    return json.loads(subprocess.run(command, capture_output=True, text=True).stdout or "{}")


def differences(folder):
    for session, (agent, *outcome) in expected.items():
        found = item(folder, session).get(agent, {})
        usage = found.get("tokenUsage", {}).get("totalTokens")
        seen = [found.get("status"), found.get("errorType"), usage, found.get("calls")]
        if seen != outcome:
            yield f"{session}: {seen}, not {outcome}"


def certificate(folder):
    """For an agent at 127.0.0.1 that is reached over TLS."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=agent"
    extensions = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    file = f"{folder}/agent.pem"
    subprocess.run([*command.split(), *extensions, "-keyout", file, "-out", f"{folder}/cert"], check=True, capture_output=True)
    with open(file, "a") as pem:
        pem.write(pathlib.Path(f"{folder}/cert").read_text())
    return file


def main():
    with tempfile.TemporaryDirectory() as folder:
        server, secure = agents.start(), agents.start(certificate(folder))
        with forwarder(server, secure, folder) as root:
            openai_sync(root)
            asyncio.run(openai_async(root))
            anthropic_sync(root)
            asyncio.run(anthropic_async(root))
            aws(root, server)
            node(root)
            workflow(root)
            session = example(root)
            # The agents' threads see the end of their connections a moment later.
            left = sum(error == "cancelled" for _, _, error, _, _ in expected.values())
            for _ in range(3_000):
                if len(server.left) == left:
                    break
                time.sleep(0.01)
            assert len(server.left) == left, f"{len(server.left)} agents were left, not {left}"
        wrong = list(differences(folder))
        assert not wrong, "\n".join(wrong)
        stored, orchestrated = item(folder, "workflow"), item(folder, session)
    seen = [stored[name] for name in ("overallStatus", "documentId", "correlationId")]
    assert seen == ["completed", "FAB_1", "corr_1"], seen
    agents_of_example = ["pdfAdapter", "tradeExtraction", "tradeMatching"]
    seen = [orchestrated[name]["status"] for name in agents_of_example]
    tokens = orchestrated["totalTokenUsage"]["totalTokens"]
    assert (seen, tokens) == (["success"] * 3, 9 + 15 + 40), orchestrated
    for _, headers in server.requests:
        text = str(headers).lower()
        assert TOKEN not in text and "x-workflow-session-id" not in text, headers
    print(f"clients: {len(expected)} sessions as expected")


main()
