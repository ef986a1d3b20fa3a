#!/bin/sh
# Tells CloudWatch how many workflows have stalled: a process that is gone does not. To be
# run every few minutes, with the reader's policy and cloudwatch:PutMetricData.
set -eu
: "${STATUS_TABLE_NAME:?set it to the name of the status table}"
namespace="${1:-AgentStatus}"
# On its own: a list that fails must not be taken for an empty one.
list="$(tower-agent-status list --status stalled --limit 1000 --json)"
stalled="$(printf '%s\n' "$list" | grep -c '"sessionId": ' || true)"
aws cloudwatch put-metric-data --namespace "$namespace" --metric-name stalled_workflows \
  --dimensions "table=$STATUS_TABLE_NAME" --unit Count --value "$stalled"
