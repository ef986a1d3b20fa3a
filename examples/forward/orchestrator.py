"""A Python orchestrator of three agents. The forwarder records its calls.

    pip install anthropic boto3 openai
    tower-agent-status forward --embedded status.db \\
        --agent pdfAdapter=$PDF_ADAPTER_ARN \\
        --agent tradeExtraction=https://api.openai.com/v1 \\
        --agent tradeMatching=https://api.anthropic.com
    python orchestrator.py 'the text of a document'
    tower-agent-status watch --embedded status.db SESSION

Only `base_url` knows of the forwarder: if it returns the URLs above, the agents are called directly.
FORWARD_URL is the URL of the forwarder; if it has a token, append a slash and the token.
"""

import json
import os
import sys
import uuid

import anthropic
import boto3
import openai

FORWARD_URL = os.environ.get("FORWARD_URL", "http://127.0.0.1:8090")


def base_url(agent, session):
    return f"{FORWARD_URL}/{agent}/~{session}"


def read_document(document, session):
    """An agent on Bedrock AgentCore. The forwarder signs the calls, with credentials of its own."""
    client = boto3.client("bedrock-agentcore", endpoint_url=base_url("pdfAdapter", session))
    response = client.invoke_agent_runtime(
        agentRuntimeArn=os.environ["PDF_ADAPTER_ARN"],
        contentType="application/json",
        payload=json.dumps({"prompt": document}).encode(),
    )
    return response["response"].read().decode()


def extract_trades(text, session):
    """A model of OpenAI's API, whose answer is streamed."""
    client = openai.OpenAI(base_url=base_url("tradeExtraction", session))
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": f"List the trades in this text:\n{text}"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def match_trades(trades, session):
    """A model of Anthropic's API."""
    client = anthropic.Anthropic(base_url=base_url("tradeMatching", session))
    question = [{"role": "user", "content": f"Which of these trades belong together?\n{trades}"}]
    answer = client.messages.create(model="claude-sonnet-4-6", max_tokens=1000, messages=question)
    return answer.content[0].text


if __name__ == "__main__":
    session = f"session-{uuid.uuid4()}"
    print(session, file=sys.stderr)
    text = read_document(sys.argv[1], session)
    trades = extract_trades(text, session)
    print(match_trades(trades, session))
