#!/bin/sh
# lint_shell.sh BIN: shellcheck over every shell script that is tracked here, with BIN's own or the system's.
#
# requirements-dev.txt brings it where there is a wheel with the program in it; elsewhere it is skipped, loudly.
set -eu
bin=$1
for shellcheck in "$bin/shellcheck" shellcheck ''; do
    if [ -n "$shellcheck" ] && "$shellcheck" --version >/dev/null 2>&1; then break; fi
done
if [ -z "$shellcheck" ]; then
    echo "== shellcheck: SKIPPED, there is none in $bin nor on the path; the shell scripts were NOT looked at" >&2
    exit 0
fi
echo "== shellcheck"
"$shellcheck" scripts/*.sh deploy/slurm/*.sh .ci/run
