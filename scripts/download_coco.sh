#!/usr/bin/env bash
# Fetches the COCO 2017 validation pictures (5,000 JPEGs, 816 MB) and unpacks them, whole or not at all.
#
# Works against any mirror. An interrupted download goes on where it stopped. The digest is checked before the
# archive gets its name, names in the archive before anything is unpacked, and the folder gets its name last.
# Must not know what the pictures are for. Needs python3 (qbg does too), and curl or wget where there is one.
# The digest below is that of the public val2017.zip of 815,585,330 bytes; it has been stated alike by several
# parties who fetched it independently, and was not computed here. --sha256 overrides it.
# Left out: annotations, the other sets, and any guess about a mirror's address.
set -euo pipefail

URL=http://images.cocodataset.org/zips/val2017.zip
SHA256=4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05
NEED_MB=1800 # archive and pictures, side by side for a moment
TRIES=5
WAIT_S=3
TOOL=auto
KEEP=0
CHECK=1

usage() {
    cat <<HELP
usage: download_coco.sh [options] FOLDER

Fetches an archive of pictures and unpacks it to FOLDER/NAME, where NAME is the archive's name without .zip.
Run it again after an interruption: it goes on where it stopped. If all is there, it does nothing.

  --url URL       http or https address of the archive (default $URL)
  --sha256 HEX    what the archive's SHA-256 must be (default: that of COCO's val2017.zip)
  --unverified    take what comes and print its digest, instead of checking it
  --tool TOOL     curl, wget or python3; auto takes the first one there is (default $TOOL)
  --tries N       attempts, each going on from the last (default $TRIES)
  --wait S        seconds before the second attempt; twice, three times.. that before later ones (default $WAIT_S)
  --need-mb N     free space to ask for before the start (default $NEED_MB)
  --keep-zip      leave the archive in FOLDER after unpacking
  -h, --help      this text

exit codes: 0 done, 2 wrong usage, 3 a tool or space is missing, 4 not downloaded, 5 wrong digest,
6 broken or unsafe archive, 130 interrupted
HELP
}

say() { printf '%s\n' "$*" >&2; }
die() {
    local code=$1
    shift
    say "download_coco.sh: $1"
    shift
    for hint in "$@"; do say "hint: $hint"; done
    exit "$code"
}
value() { # value OPTION REST...: its argument, or a usage error
    [ "$#" -ge 2 ] || die 2 "$1 needs a value"
    printf '%s' "$2"
}
whole() { # whole OPTION VALUE
    case $2 in '' | *[!0-9]* | ??????????*) die 2 "$1 is \`$2\`, but must be a whole number" ;; esac
}

# ---------------------------------------------------------------- options

FOLDER=
while [ "$#" -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --url)
        URL=$(value "$@")
        shift
        ;;
    --sha256)
        SHA256=$(value "$@")
        shift
        ;;
    --unverified) CHECK=0 ;;
    --tool)
        TOOL=$(value "$@")
        shift
        ;;
    --tries)
        TRIES=$(value "$@")
        shift
        ;;
    --wait)
        WAIT_S=$(value "$@")
        shift
        ;;
    --need-mb)
        NEED_MB=$(value "$@")
        shift
        ;;
    --keep-zip) KEEP=1 ;;
    -*) die 2 "unknown option \`$1\`" "download_coco.sh --help" ;;
    *)
        [ -z "$FOLDER" ] || die 2 "more than one folder: \`$FOLDER\` and \`$1\`"
        FOLDER=$1
        ;;
    esac
    shift
done
[ -n "$FOLDER" ] || die 2 "no folder given" "download_coco.sh --help"
whole --tries "$TRIES"
whole --wait "$WAIT_S"
whole --need-mb "$NEED_MB"
[ "$TRIES" -ge 1 ] || die 2 "--tries must be at least 1"
case $URL in http://?* | https://?*) ;; *) die 2 "--url is \`$URL\`, but must begin with http:// or https://" ;; esac
SHA256=$(printf '%s' "$SHA256" | tr '[:upper:]' '[:lower:]')
[[ $CHECK -eq 0 || $SHA256 =~ ^[0-9a-f]{64}$ ]] || die 2 "--sha256 must be 64 hexadecimal digits"

NAME=${URL%%[?#]*}
NAME=${NAME##*/}
NAME=${NAME%.zip}
[[ $NAME =~ ^[A-Za-z0-9_][A-Za-z0-9._-]*$ ]] || die 2 "no usable file name at the end of \`$URL\`"

command -v python3 >/dev/null || die 3 "python3 is missing" "install Python 3.11 or newer; qbg needs it too"
if [ "$TOOL" = auto ]; then
    for TOOL in curl wget python3; do
        if command -v "$TOOL" >/dev/null; then break; fi
    done
fi
case $TOOL in curl | wget | python3) ;; *) die 2 "--tool is \`$TOOL\`, but must be curl, wget, python3 or auto" ;; esac
command -v "$TOOL" >/dev/null || die 3 "$TOOL is missing" "--tool auto takes what is there"

mkdir -p -- "$FOLDER" || die 3 "can't make the folder $FOLDER"
FOLDER=$(cd -- "$FOLDER" && pwd)
FINAL=$FOLDER/$NAME
ZIP=$FOLDER/$NAME.zip
PART=$FOLDER/.$NAME.zip.part
UNPACKED=$FOLDER/.$NAME.unpacked
LOCK=$FOLDER/.$NAME.lock
STAMP=.downloaded # inside the final folder, so that one rename makes both

# ---------------------------------------------------------------- steps

size_of() { if [ -f "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi; }

sha256_of() {
    python3 -I -S - "$1" <<'PY'
import hashlib, sys

digest = hashlib.sha256()
with open(sys.argv[1], "rb") as stream:
    while block := stream.read(1 << 20):
        digest.update(block)
print(digest.hexdigest())
PY
}

check_space() { # check_space MEGABYTES WHAT-FOR
    local free_mb
    free_mb=$(($(df -Pk -- "$FOLDER" | awk 'NR == 2 { print $4 }') / 1024))
    [ "$free_mb" -ge "$1" ] ||
        die 3 "$2 needs $1 MB, but $FOLDER has $free_mb MB free" "free some, or choose another folder"
}

take_lock() {
    if ! mkdir -- "$LOCK" 2>/dev/null; then
        local owner
        owner=$(cat -- "$LOCK/pid" 2>/dev/null || true)
        if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
            rm -rf -- "$LOCK"
            mkdir -- "$LOCK" 2>/dev/null || die 4 "another download into $FOLDER has just begun"
        else
            die 4 "another download into $FOLDER is running (process ${owner:-unknown})" \
                "if that is not so, remove $LOCK"
        fi
    fi
    trap 'rm -rf -- "$LOCK" "$UNPACKED"' EXIT
    trap 'say "interrupted: run it again to go on"; exit 130' INT TERM HUP
    echo $$ >"$LOCK/pid"
}

# fetch_once: 0 the server says that all is there; 1 may be tried again; 2 may not; 3 begin anew.
fetch_once() {
    local code=0 status
    case $TOOL in
    curl)
        local look=(--silent --show-error)
        if [ -t 2 ]; then look=(--progress-bar); fi
        status=$(curl "${look[@]}" --fail --location --max-redirs 5 --proto '=http,https' --connect-timeout 30 \
            --speed-limit 1 --speed-time 60 --continue-at - --output "$PART" --write-out '%{http_code}' -- "$URL") ||
            code=$?
        case $code:$status in
        0:*) return 0 ;;
        *:416) return 0 ;; # nothing behind what we have: the digest decides
        33:*) return 3 ;;  # the server can't go on in the middle
        22:408 | 22:429 | 22:5*) return 1 ;;
        22:* | 1:* | 3:* | 23:* | 47:*) return 2 ;; # refused, bad address, disk, too many redirects
        *) return 1 ;;
        esac
        ;;
    wget)
        local look=(--no-verbose)
        if [ -t 2 ]; then look=(--quiet --show-progress); fi
        wget "${look[@]}" --continue --tries=1 --timeout=60 --max-redirect=5 --output-document="$PART" -- "$URL" ||
            code=$?
        case $code in
        0) return 0 ;;
        2 | 3 | 8) return 2 ;; # usage, disk, the server refused
        *) return 1 ;;
        esac
        ;;
    python3)
        fetch_with_python || code=$?
        return "$code"
        ;;
    esac
}

fetch_with_python() {
    python3 -I -S - "$URL" "$PART" <<'PY'
import http.client, os, sys, time, urllib.error, urllib.request

url, part = sys.argv[1:3]
have = os.path.getsize(part) if os.path.exists(part) else 0
request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
try:
    with urllib.request.urlopen(request, timeout=60) as answer:
        mode = "ab" if answer.status == 206 else "wb"
        begin = answer.headers.get("Content-Range", f"bytes {have}-").split()[1].split("-")[0]
        if mode == "ab" and int(begin) != have:
            sys.exit(3)
        expected = answer.headers.get("Content-Length")
        got, shown = 0, time.monotonic()
        with open(part, mode, buffering=0) as stream:
            while block := answer.read1(1 << 18):  # what has come, so that a part is worth its bytes
                stream.write(block)
                got += len(block)
                if time.monotonic() - shown > 5:
                    shown = time.monotonic()
                    print(f"{(have if mode == 'ab' else 0) + got >> 20} MB", file=sys.stderr)
        if expected is not None and got < int(expected):
            print(f"the connection ended after {got} of {expected} bytes", file=sys.stderr)
            sys.exit(1)
except urllib.error.HTTPError as error:
    if error.code == 416:
        sys.exit(0)
    print(f"{url}: {error.code} {error.reason}", file=sys.stderr)
    sys.exit(1 if error.code in (408, 429) or error.code >= 500 else 2)
except KeyboardInterrupt:
    sys.exit(130)
except (OSError, http.client.HTTPException) as error:
    print(f"{url}: {error}", file=sys.stderr)
    sys.exit(2 if isinstance(error, OSError) and error.errno == 28 else 1)
PY
}

download() {
    local attempt=1 code have
    while :; do
        have=$(size_of "$PART")
        if [ "$have" -gt 0 ]; then say "going on after $have bytes"; fi
        code=0
        fetch_once || code=$?
        case $code in
        0) break ;;
        2) die 4 "can't download $URL" "check the address; --url names another mirror" ;;
        3)
            say "the server can't go on in the middle: beginning anew"
            rm -f -- "$PART"
            ;;
        esac
        if [ "$attempt" -ge "$TRIES" ]; then
            die 4 "gave up on $URL after $attempt attempts, $(size_of "$PART") bytes are kept" "run it again to go on"
        fi
        sleep $((WAIT_S * attempt))
        attempt=$((attempt + 1))
    done
    [ -s "$PART" ] || die 4 "$URL gave nothing"
}

# verify FILE: prints its digest. What this run has fetched is removed if it is the wrong one; what was there is not.
verify() {
    local got
    got=$(sha256_of "$1")
    if [ "$CHECK" -eq 1 ] && [ "$got" != "$SHA256" ]; then
        if [ "$FRESH" -eq 1 ]; then rm -f -- "$1"; fi
        die 5 "the SHA-256 of $1 is $got, but must be $SHA256" "$(fate "$1"); a mirror may hold another file: --sha256, --url"
    fi
    printf '%s' "$got"
}

fate() { if [ "$FRESH" -eq 1 ]; then echo "it was removed"; else echo "remove $1 to download it anew"; fi; }

unpack() { # unpack DIGEST
    rm -rf -- "$UNPACKED"
    local code=0
    python3 -I -S - "$ZIP" "$UNPACKED" "$NAME" "$URL" "$1" "$STAMP" <<'PY' || code=$?
import re, shutil, stat, sys, zipfile, zlib
from pathlib import Path

archive, target, name, url, digest, stamp = sys.argv[1:7]
SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]*(/[A-Za-z0-9_][A-Za-z0-9._ -]*)*/?")


def check(member):
    if not SAFE.fullmatch(member.filename):
        raise ValueError(f"unsafe name {member.filename!r}")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ValueError(f"{member.filename!r} is neither a file nor a folder")
    if member.flag_bits & 1:
        raise ValueError(f"{member.filename!r} is encrypted")


try:
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
        for member in members:
            check(member)
        files = [member for member in members if not member.is_dir()]
        if len({member.filename.lower() for member in files}) != len(files):
            raise ValueError("a name occurs twice")
        if not files:
            raise ValueError("there are no files in it")
        need = sum(member.file_size for member in files)
        folder = Path(target)
        folder.mkdir()
        free = shutil.disk_usage(folder).free
        if need > free:
            print(f"unpacking needs {need} bytes, {free} are free", file=sys.stderr)
            sys.exit(3)
        for number, member in enumerate(files, 1):
            # The archive's own top folder takes the place of the target.
            inner = member.filename.removeprefix(f"{name}/")
            path = folder / inner
            path.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(member) as source, path.open("xb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            if number % 1000 == 0:
                print(f"unpacked {number} of {len(files)}", file=sys.stderr)
        (folder / stamp).write_text(f"sha256 {digest}\nurl {url}\nfiles {len(files)}\n", encoding="utf-8")
except (ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, FileExistsError, EOFError) as error:
    print(f"{archive}: {error}", file=sys.stderr)
    sys.exit(6)
except OSError as error:
    print(f"{archive}: {error}", file=sys.stderr)
    sys.exit(3)
PY
    case $code in
    0) ;;
    3) die 3 "could not unpack $ZIP" "free some space, then run it again" ;;
    *)
        if [ "$FRESH" -eq 1 ]; then rm -f -- "$ZIP"; fi
        die 6 "$ZIP is broken or not to be trusted; nothing was unpacked" "$(fate "$ZIP")"
        ;;
    esac
    mv -- "$UNPACKED" "$FINAL"
}

# ---------------------------------------------------------------- the way

if [ -e "$FINAL" ]; then
    [ -f "$FINAL/$STAMP" ] || die 4 "$FINAL is there, but this script did not make it" "choose another folder"
    had=$(awk '$1 == "sha256" { print $2 }' "$FINAL/$STAMP")
    [ "$CHECK" -eq 0 ] || [ "$had" = "$SHA256" ] ||
        die 5 "$FINAL was unpacked from an archive of SHA-256 $had, not $SHA256" "remove it, or choose another folder"
    say "$FINAL is there already: $(awk '$1 == "files" { print $2 }' "$FINAL/$STAMP") files, SHA-256 $had"
    exit 0
fi

FRESH=0 # whether the archive was fetched by this run
take_lock
if [ -f "$ZIP" ]; then
    say "$ZIP is there already"
    digest=$(verify "$ZIP")
else
    check_space "$NEED_MB" "the download"
    say "downloading $URL with $TOOL"
    FRESH=1
    download
    digest=$(verify "$PART")
    mv -- "$PART" "$ZIP"
fi
if [ "$CHECK" -eq 1 ]; then
    say "SHA-256 is as expected: $digest"
else
    say "SHA-256 is $digest, UNVERIFIED: nothing says what it should be"
fi
unpack "$digest"
if [ "$KEEP" -eq 0 ]; then rm -f -- "$ZIP"; fi
say "$(awk '$1 == "files" { print $2 }' "$FINAL/$STAMP") files are in $FINAL"
