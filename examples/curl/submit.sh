#!/bin/sh
# Submits a task with curl. `fades` signs it, follows it with signed requests, and checks the receipt.
#
#     submit.sh NODE_URL KEY NODE_PUBLIC_KEY TASK.toml
#
# On the node itself, nothing but the task needs a signature: curl --unix-socket DIR/fadesd.sock http://localhost/v1/tasks/ID
set -eu
[ $# -eq 4 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
node=$1 key=$2 node_key=$3 task=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fades --node "$node" task sign "$task" --key "$key" >"$work/task.cose"

# The same bytes may be sent again: the answer is the same, and the task runs once.
status=$(curl --silent --show-error --retry 3 --max-time 30 \
    --header 'Content-Type: application/cose; cose-type="cose-sign1"' --data-binary "@$work/task.cose" \
    --dump-header "$work/headers" --output "$work/answer" --write-out '%{http_code}' "$node/v1/tasks")
if [ "$status" != 202 ]; then
    cat "$work/answer" >&2
    exit 1
fi
id=$(sed -n 's|^[Ll]ocation: */v1/tasks/\([0-9A-Z]*\).*|\1|p' "$work/headers")

fades --node "$node" task watch "$id" --key "$key" >&2
fades --node "$node" task result "$id" --key "$key" --verify --node-key "$node_key" --wrapper "$work/task.cose" --output json
