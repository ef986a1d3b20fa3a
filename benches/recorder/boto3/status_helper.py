"""Direct status updates, as a Python orchestrator writes them: one before and after each agent."""

import datetime
import decimal
import os
import time

import boto3

AGENTS = ("pdfAdapter", "tradeExtraction", "tradeMatching", "exceptionManagement")
RETENTION = 90 * 24 * 60 * 60

table = boto3.resource("dynamodb").Table(os.environ["STATUS_TABLE_NAME"])


def now():
    time = datetime.datetime.now(datetime.timezone.utc)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def usage(tokens_in, tokens_out):
    return {"inputTokens": tokens_in, "outputTokens": tokens_out, "totalTokens": tokens_in + tokens_out}


def initialize_status(session_id, correlation_id, attributes):
    """Writes the item of a workflow that starts."""
    item = {
        "sessionId": session_id,
        "correlationId": correlation_id,
        "overallStatus": "initializing",
        "totalTokenUsage": usage(0, 0),
        "createdAt": now(),
        "lastUpdated": now(),
        "expiresAt": int(time.time()) + RETENTION,
        **attributes,
    }
    for agent in AGENTS:
        item[agent] = {"status": "pending", "activity": "Waiting for the agents before it"}
    table.put_item(Item=item)


def update_agent_status(session_id, agent, state):
    """Writes the state of one agent."""
    table.update_item(
        Key={"sessionId": session_id},
        UpdateExpression="SET #agent = :state, overallStatus = :overall, lastUpdated = :now",
        ExpressionAttributeNames={"#agent": agent},
        ExpressionAttributeValues={":state": state, ":overall": "processing", ":now": now()},
    )


def agent_started(session_id, agent):
    """Returns what agent_ended needs."""
    started = now(), time.monotonic()
    state = {"status": "in-progress", "activity": "Working on the document", "startedAt": started[0]}
    update_agent_status(session_id, agent, state)
    return started


def agent_ended(session_id, agent, started, token_usage):
    state = {
        "status": "success",
        "activity": "The work is done",
        "startedAt": started[0],
        "completedAt": now(),
        "duration": decimal.Decimal(f"{time.monotonic() - started[1]:.3f}"),
        "tokenUsage": token_usage,
    }
    update_agent_status(session_id, agent, state)


def finalize_status(session_id, total):
    """Writes the end of a workflow."""
    table.update_item(
        Key={"sessionId": session_id},
        UpdateExpression="SET overallStatus = :overall, totalTokenUsage = :total, lastUpdated = :now",
        ExpressionAttributeValues={":overall": "completed", ":total": total, ":now": now()},
    )
