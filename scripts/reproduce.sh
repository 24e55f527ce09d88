#!/usr/bin/env bash
# Reproduces the published result on this machine: install, data, both benches, and all of it in one folder.
#
# Prints the commands, and runs them only with --yes. What is there already is not done again, so that a call
# after an interruption goes on. A bench that fails stops nothing: what it left is collected, and the exit code
# says so. Must not know how anything is measured, nor judge it; the reports do.
# Uses make_dataset.py and download_coco.sh, which lie beside it, and a checkout if it lies in one.
# Left out: preparing the machine (governor, other load). The reports say what they saw of that.
set -euo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd -- "$HERE/.." && pwd)
OUT=qbg-results
WORK=
INSTALL=auto
WHEEL=
PYTHON=${PYTHON:-}
IMAGES=
PHOTOS=
COUNT=38418
WORKERS=
MODEL=qbg-base
PRICE=
FULL=1
YES=0

usage() {
    cat <<HELP
usage: reproduce.sh [options]

Installs qbg, makes the data set, runs \`qbg bench --full\` and \`qbg bench massive_test\`, and collects the
records, reports, logs and facts about the machine. Without --yes it only prints the commands.

  --yes                run the commands
  --out DIR            folder of results (default ./$OUT)
  --work DIR           folder for the environment and the pictures (default OUT-work beside it; about 10 GB)

  --install FROM       checkout, wheel or pypi (default: wheel with --wheel, else checkout in one, else pypi)
  --wheel FILE         a wheel to install
                       (PYTHON in the environment names the interpreter)

  --images DIR         use these pictures as they are
  --photos DIR         make the pictures out of these photos; default: COCO 2017 val, which is downloaded
  --count N            pictures of the massive test (default $COUNT)

  --workers N          of the massive test (default: the CPUs that this process may use)
  --model M            name, or path of an ONNX file (default $MODEL)
  --price-per-hour P   dollars an hour for this machine; default: qbg's price list decides
  --massive-only       leave \`qbg bench --full\` out
  -h, --help           this text

exit codes: 0 done, 1 a step failed, 2 wrong usage
HELP
}

say() { printf '%s\n' "$*" >&2; }
die() {
    say "reproduce.sh: $2"
    exit "$1"
}
value() {
    [ "$#" -ge 2 ] || die 2 "$1 needs a value"
    printf '%s' "$2"
}

while [ "$#" -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --yes) YES=1 ;;
    --massive-only) FULL=0 ;;
    --out | --work | --install | --wheel | --images | --photos | --count | --workers | --model | --price-per-hour)
        argument=$(value "$@")
        case $1 in
        --out) OUT=$argument ;;
        --work) WORK=$argument ;;
        --install) INSTALL=$argument ;;
        --wheel) WHEEL=$argument ;;
        --images) IMAGES=$argument ;;
        --photos) PHOTOS=$argument ;;
        --count) COUNT=$argument ;;
        --workers) WORKERS=$argument ;;
        --model) MODEL=$argument ;;
        --price-per-hour) PRICE=$argument ;;
        esac
        shift
        ;;
    *) die 2 "unknown option \`$1\`; reproduce.sh --help lists them" ;;
    esac
    shift
done

[[ $COUNT =~ ^[1-9][0-9]{0,11}$ ]] || die 2 "--count is \`$COUNT\`, but must be a whole number from 1 on"
[ -n "$WORKERS" ] || WORKERS=$(nproc 2>/dev/null || sysctl -n hw.ncpu)
[[ $WORKERS =~ ^[1-9][0-9]{0,5}$ ]] || die 2 "--workers is \`$WORKERS\`, but must be a whole number from 1 on"
[[ -z $PRICE || $PRICE =~ ^[0-9]+(\.[0-9]+)?$ ]] || die 2 "--price-per-hour is \`$PRICE\`, but must be a number"
[ -z "$IMAGES" ] || [ -z "$PHOTOS" ] || die 2 "--images and --photos exclude each other"
[ -z "$IMAGES" ] || [ -d "$IMAGES" ] || die 2 "--images: there is no folder $IMAGES"
[ -z "$PHOTOS" ] || [ -d "$PHOTOS" ] || die 2 "--photos: there is no folder $PHOTOS"
[ -z "$WHEEL" ] || [ -f "$WHEEL" ] || die 2 "--wheel: there is no file $WHEEL"
if [ "$INSTALL" = auto ]; then
    INSTALL=pypi
    if [ -f "$ROOT/Cargo.toml" ] && [ -f "$ROOT/Makefile" ]; then INSTALL=checkout; fi
    if [ -n "$WHEEL" ]; then INSTALL=wheel; fi
fi
case $INSTALL in
checkout) [ -f "$ROOT/Makefile" ] || die 2 "--install checkout: $HERE is in no checkout" ;;
wheel) [ -n "$WHEEL" ] || die 2 "--install wheel needs --wheel FILE" ;;
pypi) ;;
*) die 2 "--install is \`$INSTALL\`, but must be checkout, wheel or pypi" ;;
esac
OUT=${OUT%/}
[ -n "$WORK" ] || WORK=$OUT-work
DATA=${IMAGES:-$WORK/images}

# ---------------------------------------------------------------- how a step is printed, run and logged

FAILED=0
quoted() { printf '%q ' "$@"; }

# run COMMAND...: prints it; with --yes runs it, and ends all if it fails.
run() {
    printf '%s\n' "$(quoted "$@")"
    [ "$YES" -eq 1 ] || return 0
    "$@" || die 1 "failed: $(quoted "$@")"
}

# keep FILE COMMAND...: the same with the output into OUT/FILE; a failure is counted, and does not end all.
keep() {
    local file=$1 code=0
    shift
    printf '%s> %q 2>&1\n' "$(quoted "$@")" "$OUT/$file"
    [ "$YES" -eq 1 ] || return 0
    "$@" >"$OUT/$file.part" 2>&1 || code=$?
    mv -- "$OUT/$file.part" "$OUT/$file"
    if [ "$code" -ne 0 ]; then
        say "reproduce.sh: exit code $code: $(quoted "$@")"
        tail -n 5 -- "$OUT/$file" >&2
        FAILED=1
    fi
}

# see FILE COMMAND...: a fact about the machine, where there is such a command.
see() {
    if command -v "$2" >/dev/null; then
        local before=$FAILED
        keep "$@"
        FAILED=$before
    else
        printf '# no %s here\n' "$2"
    fi
}

# bench NAME ARGUMENTS...: a bench with its record and reports; shown on the terminal and logged.
bench() {
    local name=$1 code=0
    shift
    local line=("$QBG" bench "$@" --json "$OUT/$name.json" --html "$OUT/$name.html" --markdown "$OUT/$name.md"
        --work "$WORK/outputs") # beside the pictures: a temporary folder may be memory
    if [ -n "$PRICE" ]; then line+=(--price-per-hour "$PRICE"); fi
    # A record that is there is that of an earlier call: finished or not, it is gone on with.
    if [ -f "$OUT/$name.json" ]; then line+=(--resume "$OUT/$name.json"); fi
    printf '%s2>&1 | tee -a %q\n' "$(quoted "${line[@]}")" "$OUT/$name.log"
    [ "$YES" -eq 1 ] || return 0
    { "${line[@]}" 2>&1 | tee -a "$OUT/$name.log"; } || code=$?
    if [ "$code" -ne 0 ]; then
        say "reproduce.sh: exit code $code: $(quoted "${line[@]}")"
        FAILED=1
    fi
}

step() { printf '\n# %s\n' "$*"; }

# ---------------------------------------------------------------- the steps

if [ "$YES" -eq 0 ]; then echo "# These commands would run; --yes runs them."; fi
run mkdir -p -- "$OUT" "$WORK"

step "facts about the machine"
see system.txt uname -srvm
see cpu.txt lscpu
see numa.txt numactl --hardware
see memory.txt free -b
see disk.txt df -Pk -- "$OUT" "$WORK"
see load.txt uptime

step "qbg, from: $INSTALL"
if [ "$INSTALL" = checkout ]; then
    BIN=$ROOT/.venv/bin
    run make -C "$ROOT" build-prod ${PYTHON:+"PYTHON=$PYTHON"}
    see revision.txt git -C "$ROOT" describe --always --dirty
else
    BIN=$WORK/venv/bin
    if [ ! -x "$BIN/python" ]; then run "${PYTHON:-python3}" -m venv "$WORK/venv"; fi
    what=qbg
    if [ "$INSTALL" = wheel ]; then what=$WHEEL; fi
    run "$BIN/python" -m pip --disable-pip-version-check --quiet install "$what"
fi
QBG=$BIN/qbg
keep doctor.txt "$QBG" doctor

step "$COUNT pictures"
if [ -n "$IMAGES" ]; then
    echo "# as they are: $(quoted "$IMAGES")"
else
    if [ -z "$PHOTOS" ]; then
        PHOTOS=$WORK/val2017
        run "$HERE/download_coco.sh" "$WORK"
    fi
    run "$BIN/python" "$HERE/make_dataset.py" "$PHOTOS" "$DATA" --count "$COUNT"
    run cp -- "$DATA/dataset.json" "$OUT/dataset.json"
fi

step "benches"
if [ "$FULL" -eq 1 ]; then bench full --full; fi
bench massive massive_test --workers "$WORKERS" --model "$MODEL" --images "$DATA" --count "$COUNT"

step "one file of all results"
if [ "$YES" -eq 1 ]; then
    { uptime 2>/dev/null || true; } >>"$OUT/load.txt" # the load after it, beside that before it
    digest=(sha256sum)
    if ! command -v sha256sum >/dev/null; then digest=(shasum -a 256); fi
    (cd -- "$OUT" && find . -maxdepth 1 -type f ! -name '*.part' ! -name SHA256SUMS -exec "${digest[@]}" {} +) |
        LC_ALL=C sort -k 2 >"$OUT/SHA256SUMS.part"
    mv -- "$OUT/SHA256SUMS.part" "$OUT/SHA256SUMS"
fi
run tar -czf "$OUT.tar.gz" -C "$(dirname -- "$OUT")" "$(basename -- "$OUT")"
if [ "$YES" -eq 1 ]; then
    say ""
    if [ "$FAILED" -ne 0 ]; then
        say "reproduce.sh: something failed, see above; what there is lies in $OUT"
        exit 1
    fi
    say "results are in $OUT and $OUT.tar.gz"
fi
