#!/usr/bin/env bash
# Fetches the newest published JSON schema of the protocol, which comes with the TypeScript SDK on
# npm, and prints the folder that holds schema.json and schema.unstable.json. Needs npm only.
set -euo pipefail

SDK=2.4.0

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
folder="${PUNIE_ACP_SCHEMA_DIR:-$root/.acp-schema}/sdk-$SDK"
schema="$folder/package/schema/v1"
if [[ -f "$schema/schema.json" ]]; then
    echo "$schema"
    exit
fi

mkdir -p "$folder"
cd "$folder"
archive="$(npm pack --silent --no-update-notifier --loglevel=error "@agentclientprotocol/sdk@$SDK")"
tar -xzf "$archive"
rm "$archive"
echo "$schema"
