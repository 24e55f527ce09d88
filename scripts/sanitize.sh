#!/bin/sh
# sanitize.sh miri | memcheck: the core's tests under a checker of undefined behavior or of memory.
#
# miri runs the parts that do without files, maps and CPU features; memcheck (valgrind) the unit tests at the
# scalar level, but for three that go through millions of cases, which take hours so: fuzz.sh runs their like under
# AddressSanitizer. Both say so when the program isn't there, and then fail nothing. AddressSanitizer: fuzz.sh.
set -eu
cd "$(dirname "$0")/.."
case ${1-} in
    miri)
        if ! cargo miri --version > /dev/null 2>&1; then
            echo "miri: SKIPPED, no toolchain here has it; nothing was looked at (rustup +nightly component add miri)" >&2
            exit 0
        fi
        # Seeds other than Miri's first, since what threads do depends on them.
        for part in pool::ring slot::tests image::tests mask::scalar composite::scalar; do
            echo "== miri $part"
            MIRIFLAGS="-Zmiri-many-seeds=0..4" cargo miri test --quiet -p qbg-core --lib "$part"
        done
        ;;
    memcheck)
        if ! command -v valgrind > /dev/null; then
            echo "memcheck: SKIPPED, valgrind isn't here; nothing was looked at (Debian: valgrind)" >&2
            exit 0
        fi
        tests=$(cargo test --quiet --locked -p qbg-core --lib --no-run --message-format=json |
            sed -n 's/.*"executable":"\([^"]*qbg_core[^"]*\)".*/\1/p' | tail -n 1)
        for part in slot backdrop mask composite preprocess resample encode decode; do
            echo "== memcheck $part"
            QBG_SIMD=scalar valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=definite \
                --errors-for-leak-kinds=definite \
                "$tests" --quiet --test-threads=1 "$part::" \
                --skip a_cut_file --skip damaged_files --skip the_transform_
        done
        ;;
    *)
        echo "sanitize: say miri or memcheck" >&2
        exit 2
        ;;
esac
