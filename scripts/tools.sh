#!/bin/sh
# Looks for what a newcomer must bring, and says in one line what to install.
#
#   tools.sh python         prints the first interpreter that is 3.11 or newer (nothing if there is none)
#   tools.sh CHECK...       rust, rust-lint, python-venv: silent if all is there, else one line each and 1
#
# Commands are run, not only looked up: a shim may be there without the version behind it.
set -u

MIN_RUST_MINOR=89 # workspace's rust-version

fail=0
missing() {
    printf 'missing: %s\n' "$1" >&2
    fail=1
}

find_python() {
    for name in python3.13 python3.12 python3.11 python3 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$name"
            return 0
        fi
    done
    return 1
}

check_rust() {
    if ! version=$(rustc --version 2>/dev/null) || ! cargo --version >/dev/null 2>&1; then
        missing "a Rust toolchain: install it with rustup, or your system's cargo 1.$MIN_RUST_MINOR or newer"
        return 1
    fi
    minor=$(printf '%s' "$version" | sed -n 's/^rustc 1\.\([0-9]*\).*/\1/p')
    if [ "${minor:-999}" -lt "$MIN_RUST_MINOR" ]; then
        missing "Rust 1.$MIN_RUST_MINOR or newer, this is $version: run rustup update"
    fi
    if ! cc --version >/dev/null 2>&1; then
        missing "a C compiler and linker (cc): Debian's build-essential, Fedora's gcc, macOS's xcode-select --install"
    fi
}

check_rust_lint() {
    cargo fmt --version >/dev/null 2>&1 || missing "rustfmt: rustup component add rustfmt"
    cargo clippy --version >/dev/null 2>&1 || missing "clippy: rustup component add clippy"
}

check_python_venv() {
    if ! python=$(find_python); then
        missing "Python 3.11 or newer with pip: Debian's python3-full, or python.org"
        return
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        missing "the venv and pip modules of $python: Debian's python3-venv and python3-pip"
}

for check in "$@"; do
    case $check in
    python) find_python ;;
    rust) check_rust ;;
    rust-lint) check_rust && check_rust_lint || : ;;
    python-venv) check_python_venv ;;
    *)
        printf 'tools.sh: unknown check %s\n' "$check" >&2
        exit 2
        ;;
    esac
done
[ "$#" -eq 1 ] && [ "$1" = python ] && exit 0
exit "$fail"
