#!/usr/bin/env bash
# Rents one machine at Google Cloud, runs reproduce.sh on it, fetches the results, and deletes the machine.
#
# Prints the gcloud commands, and runs them only with --yes. Whatever happens here, the machine ends: this script
# deletes it on every way out, and Google does after --max-run-duration, should this script or its host be gone.
# Only a machine that carries this run's own label is ever deleted.
# Must not know what a run measures. It asks for no rights: the machine gets no service account.
# Names and limits are those of Google's page on general-purpose machines: c4d-highcpu-384 has 384 vCPU of AMD's
# Turin and 720 GB, takes Hyperdisk only; c4d-highcpu-384-metal has 768 GB, as the published machine had.
# Left out: quota, network and billing set-up, and prices, which change: give one, or look it up.
set -euo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd -- "$HERE/.." && pwd)
RUN_ID=$(date -u +%Y%m%d-%H%M%S)-$$
PROJECT=
ZONE=us-central1-a
MACHINE=c4d-highcpu-384
IMAGE_FAMILY=ubuntu-2404-lts-amd64
IMAGE_PROJECT=ubuntu-os-cloud
DISK_GB=50
DISK_TYPE=hyperdisk-balanced
DURATION=4h
SPOT=0
NAME=qbg-bench-$RUN_ID
FROM=
WHEEL=
RESULTS=
PRICE=
POLL_S=30
KEEP=0
YES=0

usage() {
    cat <<HELP
usage: launch_gcp.sh --project P [options] [-- OPTIONS OF reproduce.sh]

Creates a machine, copies reproduce.sh and what it needs, runs it, fetches the results and deletes the machine.
Without --yes it only prints the commands. Needs gcloud, logged in.

  --yes                   run the commands; costs money
  --project P             the project that pays
  --zone Z                default $ZONE; not every zone has every machine type
  --machine-type T        default $MACHINE (384 vCPU, 720 GB); the published machine had 768 GB,
                          as c4d-highcpu-384-metal has
  --image-family F        default $IMAGE_FAMILY; must be Debian or Ubuntu: apt-get is used
  --image-project P       default $IMAGE_PROJECT
  --disk-gb N             default $DISK_GB
  --disk-type T           default $DISK_TYPE
  --name N                default qbg-bench-TIME-PROCESS
  --spot                  cheaper, and may be taken away in the middle
  --max-run-duration D    after which Google deletes the machine, such as 90m or 4h (default $DURATION)
  --keep                  don't delete it at the end; --max-run-duration still holds

  --from FROM             checkout, wheel or pypi: what is installed there (default: wheel with --wheel, else checkout)
  --wheel FILE            a wheel to copy and install
  --copy FILE             another file to copy, such as a network for reproduce.sh's --model; may be repeated
  --results DIR           where the results go here (default ./NAME)
  --price-per-hour P      dollars, of your price list: prints the most that the machine can cost, and goes
                          into the reports
  --poll S                seconds between two looks at the run (default $POLL_S)
  -h, --help              this text

exit codes: 0 done, 1 a step failed (the machine was deleted nevertheless), 2 wrong usage, 3 gcloud is missing,
5 the machine may still be there: delete it by hand
HELP
}

say() { printf '%s\n' "$*" >&2; }
die() {
    say "launch_gcp.sh: $2"
    exit "$1"
}
value() {
    [ "$#" -ge 2 ] || die 2 "$1 needs a value"
    printf '%s' "$2"
}

INNER=()
COPY=()
while [ "$#" -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --)
        shift
        INNER=("$@")
        break
        ;;
    --yes) YES=1 ;;
    --copy)
        COPY+=("$(value "$@")")
        [ -f "$2" ] || die 2 "--copy: there is no file $2"
        shift
        ;;
    --spot) SPOT=1 ;;
    --keep) KEEP=1 ;;
    --project | --zone | --machine-type | --image-family | --image-project | --disk-gb | --disk-type | --name | \
        --max-run-duration | --from | --wheel | --results | --price-per-hour | --poll)
        argument=$(value "$@")
        case $1 in
        --project) PROJECT=$argument ;;
        --zone) ZONE=$argument ;;
        --machine-type) MACHINE=$argument ;;
        --image-family) IMAGE_FAMILY=$argument ;;
        --image-project) IMAGE_PROJECT=$argument ;;
        --disk-gb) DISK_GB=$argument ;;
        --disk-type) DISK_TYPE=$argument ;;
        --name) NAME=$argument ;;
        --max-run-duration) DURATION=$argument ;;
        --from) FROM=$argument ;;
        --wheel) WHEEL=$argument ;;
        --results) RESULTS=$argument ;;
        --price-per-hour) PRICE=$argument ;;
        --poll) POLL_S=$argument ;;
        esac
        shift
        ;;
    *) die 2 "unknown option \`$1\`; launch_gcp.sh --help lists them" ;;
    esac
    shift
done

[ -n "$PROJECT" ] || die 2 "--project is missing"
for word in "$PROJECT" "$ZONE" "$MACHINE" "$IMAGE_FAMILY" "$IMAGE_PROJECT" "$DISK_TYPE"; do
    [[ $word =~ ^[a-z][a-z0-9.:-]*$ ]] || die 2 "\`$word\` is no name of Google Cloud's"
done
[[ $NAME =~ ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$ ]] || die 2 "--name: \`$NAME\` is no name for a machine"
[[ $DISK_GB =~ ^[1-9][0-9]{0,5}$ ]] || die 2 "--disk-gb is \`$DISK_GB\`, but must be a whole number"
[[ $POLL_S =~ ^[0-9]{1,4}$ ]] || die 2 "--poll is \`$POLL_S\`, but must be a whole number"
[[ $DURATION =~ ^[1-9][0-9]{0,5}[smh]$ ]] || die 2 "--max-run-duration is \`$DURATION\`, but must be such as 90m or 4h"
[[ -z $PRICE || $PRICE =~ ^[0-9]+(\.[0-9]+)?$ ]] || die 2 "--price-per-hour is \`$PRICE\`, but must be a number"
[ -z "$WHEEL" ] || [ -f "$WHEEL" ] || die 2 "--wheel: there is no file $WHEEL"
if [ -z "$FROM" ]; then
    FROM=checkout
    if [ -n "$WHEEL" ]; then FROM=wheel; fi
fi
case $FROM in
checkout)
    git -C "$ROOT" rev-parse --verify --quiet HEAD >/dev/null || die 2 "--from checkout: $ROOT is no git checkout"
    if [ -n "$(git --no-optional-locks -C "$ROOT" status --porcelain)" ]; then
        say "launch_gcp.sh: the checkout has changes; what is copied is its last commit, without them"
    fi
    ;;
wheel) [ -n "$WHEEL" ] || die 2 "--from wheel needs --wheel FILE" ;;
pypi) ;;
*) die 2 "--from is \`$FROM\`, but must be checkout, wheel or pypi" ;;
esac
[ -n "$RESULTS" ] || RESULTS=$NAME

# ---------------------------------------------------------------- the commands

WHERE=(--project="$PROJECT" --zone="$ZONE")

create=(gcloud compute instances create "$NAME" "${WHERE[@]}"
    --machine-type="$MACHINE"
    --image-family="$IMAGE_FAMILY" --image-project="$IMAGE_PROJECT"
    --boot-disk-size="${DISK_GB}GB" --boot-disk-type="$DISK_TYPE" --boot-disk-auto-delete
    --max-run-duration="$DURATION" --instance-termination-action=DELETE
    --maintenance-policy=TERMINATE --no-restart-on-failure
    --no-service-account --no-scopes
    --labels="qbg-run=$RUN_ID")
if [ "$SPOT" -eq 1 ]; then
    create+=(--provisioning-model=SPOT)
else
    create+=(--provisioning-model=STANDARD)
fi
listed=(gcloud compute instances list --project="$PROJECT" --filter="name=$NAME AND labels.qbg-run=$RUN_ID"
    --format='value(name)')
existing=(gcloud compute instances list --project="$PROJECT" --filter="name=$NAME" --format='value(name)')
delete=(gcloud compute instances delete "$NAME" "${WHERE[@]}" --quiet)
ssh=(gcloud compute ssh "$NAME" "${WHERE[@]}" --quiet --command)

inner=(--yes --out results --work work)
if [ -n "$PRICE" ]; then inner+=(--price-per-hour "$PRICE"); fi
packages=(python3-venv python3-pip numactl)
STAGE=STAGE # a folder of this run's, once it runs
case $FROM in
checkout)
    packages+=(build-essential git rustup)
    inner=(source/scripts/reproduce.sh --install checkout "${inner[@]}")
    ;;
wheel) inner=(./reproduce.sh --wheel "${WHEEL##*/}" "${inner[@]}") ;;
pypi) inner=(./reproduce.sh --install pypi "${inner[@]}") ;;
esac
inner+=(${INNER[@]+"${INNER[@]}"})

run_sh() { # what runs over there; the exit code is the last thing that it writes
    printf '#!/usr/bin/env bash\n{\n'
    printf '    sudo apt-get -q update &&\n    sudo apt-get -q install -y %s &&\n' "${packages[*]}"
    if [ "$FROM" = checkout ]; then
        printf '    rustup set profile minimal && rustup default stable &&\n    tar -xzf qbg.tar.gz &&\n'
    fi
    printf '   ' && printf ' %q' "${inner[@]}"
    printf '\n} >log.txt 2>&1\n%s\n' "echo \$? >code.part && mv code.part code"
}

# In the background over there: a lost connection must not end the run.
start='cd qbg-run && { setsid nohup bash run.sh >/dev/null 2>&1 </dev/null & }'
look='cat qbg-run/code 2>/dev/null || { echo running; tail -n 1 qbg-run/log.txt; }'

# ---------------------------------------------------------------- how a command is run, and how all ends

show() { printf '%q ' "$@" && echo; }
run() {
    show "$@"
    [ "$YES" -eq 1 ] || return 0
    "$@"
}

MACHINE_STATE=none # none, asked (create was called), made (create said so)
FAILED=0

finish() {
    local code=$? found
    set +e # nothing that fails here may keep the machine
    trap - EXIT
    trap '' INT TERM HUP
    [ "$STAGE" = STAGE ] || rm -rf -- "$STAGE"
    if [ "$MACHINE_STATE" = asked ]; then
        if ! found=$("${listed[@]}"); then
            lost
        elif [ -n "$found" ]; then
            MACHINE_STATE=made
        fi
    fi
    if [ "$MACHINE_STATE" = made ]; then
        if [ "$KEEP" -eq 1 ]; then
            say "the machine is kept, and costs money until Google deletes it after $DURATION. To delete it now:"
            show "${delete[@]}" >&2
        elif ! run "${delete[@]}" && ! run "${delete[@]}" && ! run "${delete[@]}"; then
            if found=$("${listed[@]}") && [ -z "$found" ]; then
                say "the machine is gone already"
            else
                lost
            fi
        fi
    fi
    exit "$code"
}

lost() {
    say "launch_gcp.sh: THE MACHINE MAY STILL BE THERE, and cost money until Google deletes it after $DURATION. Type:"
    show "${delete[@]}" >&2
    exit 5
}

price() {
    if [ -z "$PRICE" ]; then
        echo "# estimated price: your price list decides (--price-per-hour reckons with it)"
        return
    fi
    local seconds=${DURATION%?}
    case $DURATION in *m) seconds=$((seconds * 60)) ;; *h) seconds=$((seconds * 3600)) ;; esac
    awk -v price="$PRICE" -v seconds="$seconds" -v words="$DURATION" 'BEGIN {
        printf "# at most %.2f dollars for the machine: %s an hour for %s; ", price * seconds / 3600, price, words
        print "disk and network come on top" }'
}

reachable() { # a machine answers a while after it was made
    local attempt
    for attempt in {1..20}; do
        if run "${ssh[@]}" 'mkdir -p qbg-run'; then return 0; fi
        say "not reachable yet ($attempt of 20)"
        sleep "$POLL_S"
    done
    return 1
}

# Leaves the run's exit code in CODE. Not printed for a $(...): bash would not look at signals until that ends.
CODE=
wait_for_end() {
    local answer misses=0
    while :; do
        if answer=$("${ssh[@]}" "$look"); then
            misses=0
            if [[ $answer =~ ^[0-9]+$ ]]; then
                CODE=$answer
                return 0
            fi
            say "$(date -u +%H:%M:%S) ${answer//$'\n'/: }"
        else
            misses=$((misses + 1))
            say "no answer ($misses of 10)"
            [ "$misses" -lt 10 ] || return 1
        fi
        sleep "$POLL_S"
    done
}

# ---------------------------------------------------------------- the way

price
if [ "$YES" -eq 0 ]; then
    echo "# These commands would run; --yes runs them."
else
    command -v gcloud >/dev/null || die 3 "gcloud is missing: install the Google Cloud CLI, and log in"
    found=$("${existing[@]}") || die 1 "can't list the machines of $PROJECT: is gcloud logged in?"
    [ -z "$found" ] || die 1 "there is a machine named $NAME already; it was left alone"
    mkdir -p -- "$RESULTS"
    STAGE=$(mktemp -d)
    trap finish EXIT
    trap 'exit 130' INT TERM HUP
    trap '' PIPE # nobody may be reading any more
fi

if [ "$YES" -eq 1 ]; then
    run_sh >"$STAGE/run.sh"
    if [ "$FROM" = checkout ]; then git -C "$ROOT" rev-parse HEAD >"$RESULTS/revision.txt"; fi
else
    echo "# STAGE/run.sh:"
    run_sh | sed 's/^/#     /'
fi
files=("$STAGE/run.sh" ${COPY[@]+"${COPY[@]}"})
if [ "$FROM" = checkout ]; then
    files+=("$STAGE/qbg.tar.gz")
    run git -C "$ROOT" archive --format=tar.gz --prefix=source/ -o "$STAGE/qbg.tar.gz" HEAD
else
    files+=("$HERE/reproduce.sh" "$HERE/download_coco.sh" "$HERE/make_dataset.py" ${WHEEL:+"$WHEEL"})
fi

[ "$YES" -eq 0 ] || MACHINE_STATE=asked
run "${create[@]}" || die 1 "the machine could not be made"
[ "$YES" -eq 0 ] || MACHINE_STATE=made

reachable || die 1 "the machine does not answer"
run gcloud compute scp "${WHERE[@]}" --quiet "${files[@]}" "$NAME:qbg-run/" || die 1 "copying failed"
run "${ssh[@]}" "$start" || die 1 "starting failed"

if [ "$YES" -eq 1 ]; then
    wait_for_end || die 1 "the machine is gone or does not answer any more"
    if [ "$CODE" -ne 0 ]; then
        say "launch_gcp.sh: the run ended with exit code $CODE; fetching what there is"
        FAILED=1
    fi
else
    echo "# every $POLL_S s, until it prints an exit code:"
    show "${ssh[@]}" "$look"
fi
run gcloud compute scp "${WHERE[@]}" --quiet "$NAME:qbg-run/log.txt" "$RESULTS/" || FAILED=1
run gcloud compute scp "${WHERE[@]}" --quiet --recurse "$NAME:qbg-run/results" "$RESULTS/" || FAILED=1
if [ "$YES" -eq 0 ]; then
    if [ "$KEEP" -eq 0 ]; then show "${delete[@]}"; else echo "# --keep: Google deletes it after $DURATION"; fi
    exit 0
fi
[ "$FAILED" -eq 0 ] || die 1 "something failed, see above and $RESULTS/log.txt"
say "results are in $RESULTS"
