#!/bin/sh
# The long run: tens of thousands of pictures, killed, suspended and out of disk on the way, and nothing lost.
# scripts/endurance.sh [--count N] [--model M] [--record FILE]; needs `make build-prod`, and root for the full disk.
set -eu
cd "$(dirname "$0")/.."
exec .venv/bin/python scripts/endurance.py "$@"
