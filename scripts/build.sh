#!/bin/sh
# build.sh BIN PROFILE: builds the wheel with a cargo profile and installs it into the environment of BIN.
#
# The installed wheel is what the tests run on, so that a file missing from it is noticed.
# Only a release wheel leaves the stamp that `make` asks for.
set -eu
bin=$1
profile=$2
wheels=target/wheels/$profile
environment=$(dirname "$bin")

echo "== wheel, profile $profile"
rm -rf "$wheels" "$environment"/.wheel-*
# Strip takes the symbols that a profile is for.
strip=$([ "$profile" = release ] && echo true || echo false)
"$bin/maturin" build --quiet --locked --profile "$profile" --strip "$strip" --out "$wheels" \
    --interpreter "$bin/python"
"$bin/python" -m pip --disable-pip-version-check --quiet install --no-deps --force-reinstall "$wheels"/qbg-*.whl
touch "$environment/.wheel-$profile"
