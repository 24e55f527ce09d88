#!/bin/sh
# venv.sh PYTHON FOLDER: makes the virtual environment, or makes it anew if its interpreter is gone or too old.
set -eu
python=$1
folder=$2
if ! "$folder/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "== $folder with $("$python" --version)"
    "$python" -m venv --clear "$folder"
fi
