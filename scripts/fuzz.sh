#!/bin/sh
# Fuzzes one door for so many seconds: scripts/fuzz.sh TARGET SECONDS; without arguments, names the targets.
# Needs cargo-fuzz and a C++ compiler. What crashes is kept in rust/fuzz/artifacts, what is new in rust/fuzz/corpus.
set -eu
cd "$(dirname "$0")/.."
command -v cargo-fuzz > /dev/null || {
    echo "fuzz: cargo-fuzz is missing; cargo install cargo-fuzz" >&2
    exit 1
}
# The sanitizers are marked unstable; the compiler has them all the same.
export RUSTC_BOOTSTRAP=1
if [ $# -ne 2 ]; then
    cargo fuzz list --fuzz-dir rust/fuzz
    exit 2
fi
target=$1 seconds=$2
case $target in
    jpeg | png | webp | tiff | bmp | gif | pnm | metadata) longest=16384 ;;
    *) longest=1024 ;;
esac
exec cargo fuzz run --fuzz-dir rust/fuzz "$target" -- \
    -max_total_time="$seconds" -max_len="$longest" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1
