#!/bin/sh
# install.sh VENV REQUIREMENTS: what a peer needs, into a virtual environment.
# One by one: a peer without a package for this machine is left out. VENV/ready has the
# requirements that are met, a line each; those that are not are tried at every call, so
# that a call without a network is no worse than none.
set -eu
venv=$1
requirements=$2
touch "$venv/ready"
: >"$venv/ready.new"
while read -r package; do
    if ! grep -qxF -e "$package" "$venv/ready" &&
        ! "$venv/bin/pip" install --quiet --disable-pip-version-check "$package" </dev/null >&2; then
        echo "bench: $package cannot be installed here" >&2
        continue
    fi
    echo "$package" >>"$venv/ready.new"
done <"$requirements"
mv "$venv/ready.new" "$venv/ready"
