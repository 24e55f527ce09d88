#!/bin/sh
# test_kernels.sh BIN LEVEL...: the kernels' tests of both languages with QBG_SIMD set to each level.
#
# A level that this CPU lacks is skipped with a line that says so; QBG_REQUIRE_LEVEL turns that into a failure.
set -eu
bin=$1
shift
present=$("$bin/python" -c 'from qbg import _native; print(*_native.system()["simd_levels"])')
for level in "$@"; do
    case " $present " in
    *" $level "*) ;;
    *)
        echo "== kernels at $level: SKIPPED, this CPU has only: $present" >&2
        [ "${QBG_REQUIRE_LEVEL:-}" != "$level" ] || exit 1
        continue
        ;;
    esac
    echo "== kernels at $level"
    QBG_SIMD=$level cargo test --quiet --locked -p qbg-core -- resample preprocess mask composite
    QBG_SIMD=$level "$bin/python" -m pytest -q tests/test_kernels*.py
done
