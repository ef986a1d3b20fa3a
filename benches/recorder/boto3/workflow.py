"""The workflow of four agents, with direct status updates and without.

`workflow.py bare|tracked at-once|slow N` runs it N times and prints the results as JSON. Slow
agents take a few milliseconds, which are not in the results.
"""

import json
import os
import statistics
import sys
import time

import status_helper as status


SLOW = 0.007
spent = 0


def agent(_name, pace):
    global spent
    if pace == "slow":
        start = time.perf_counter_ns()
        time.sleep(SLOW)
        spent += time.perf_counter_ns() - start
    return {"content": "matched", "usage": status.usage(1500, 500)}


def bare(pace):
    for name in status.AGENTS:
        agent(name, pace)


def tracked(session_id, pace):
    status.initialize_status(session_id, "corr_abc123", {"documentId": "FAB_26933659", "sourceType": "BANK"})
    tokens = [0, 0]
    for name in status.AGENTS:
        started = status.agent_started(session_id, name)
        answer = agent(name, pace)
        usage = answer["usage"]
        tokens = [tokens[0] + usage["inputTokens"], tokens[1] + usage["outputTokens"]]
        status.agent_ended(session_id, name, started, usage)
    status.finalize_status(session_id, status.usage(*tokens))


def main():
    way, pace, workflows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    writes = 0

    def count(**_):
        nonlocal writes
        writes += 1

    for operation in ("PutItem", "UpdateItem"):
        status.table.meta.client.meta.events.register(f"after-call.dynamodb.{operation}", count)
    # The first run connects.
    run(way, pace, "warm-up")
    writes, times, cpu = 0, [], time.process_time_ns()
    for n in range(workflows):
        start, of_agents = time.perf_counter_ns(), spent
        run(way, pace, f"session-python-{os.getpid()}-{n}")
        times.append(time.perf_counter_ns() - start - (spent - of_agents))
    cpu = time.process_time_ns() - cpu
    median = int(statistics.median(times)) if times else 0
    print(json.dumps({"workflows": workflows, "cpu_ns": cpu, "time_ns": median, "writes": writes}))


def run(way, pace, session_id):
    if way == "bare":
        bare(pace)
    else:
        tracked(session_id, pace)


main()
