#!/usr/bin/env bash
# Sets up a virtual environment from nothing: the pinned CPU lock, then this package.
# torch comes first and by itself, so that an index without a CPU build gets a second try.
set -euo pipefail

PYTHON="${PYTHON:-python3}"
VENV="${VENV:-.venv}"
TORCH_INDEX="${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"
NEEDED_GIB=7
TORCH=$(grep -E '^torch==' requirements/cpu.lock)
LOCK=$(mktemp)
trap 'rm -f "$LOCK"' EXIT

fail() {
  echo "set-up: $1" >&2
  exit 2
}

command -v "$PYTHON" >/dev/null || fail "$PYTHON is not on the path; Python 3.11 or 3.12 is needed"
"$PYTHON" - <<'PY' || fail "Python 3.11 or 3.12 is needed, this is $("$PYTHON" --version 2>&1); set PYTHON=..."
import sys
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PY
command -v cc >/dev/null || command -v gcc >/dev/null || fail "a C compiler is needed (gcc or clang)"
[ "$(uname -sm)" = "Linux x86_64" ] || fail "the CPU lock is for Linux x86_64, this is $(uname -sm)"

free_gib=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1024 / 1024))
[ "$free_gib" -ge "$NEEDED_GIB" ] ||
  fail "$NEEDED_GIB GiB of free disk are needed here, $free_gib GiB are left"

[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
PIP=("$VENV/bin/python" -m pip --disable-pip-version-check -q)
grep -vE '^torch==' requirements/cpu.lock >"$LOCK"

echo "set-up: torch"
"${PIP[@]}" install --no-deps "$TORCH" 2>/dev/null ||
  "${PIP[@]}" install --no-deps "$TORCH" --index-url "$TORCH_INDEX" ||
  fail "neither the configured index nor $TORCH_INDEX has $TORCH"
echo "set-up: the rest of the lock ($(grep -c == "$LOCK") packages)"
"${PIP[@]}" install --no-deps -r "$LOCK"
"${PIP[@]}" install --no-deps --no-build-isolation -e .
echo "set-up: done"
