# The static binary. Only Go is needed.
.PHONY: build
build:
	CGO_ENABLED=0 go build -trimpath -o gatehouse ./cmd/gatehouse

# Every check and test. Needs what `make deps` names: the tests start their own database, Redis and
# browser on free ports and leave nothing running. No test may be skipped.
.PHONY: test
test:
	./tools/test.sh

# The Go tests alone. A test whose program is not installed is skipped, with a line that says so.
.PHONY: unit
unit:
	go test ./...

# Prints the command that installs what `make test` and `make strangers` need and this machine lacks.
.PHONY: deps
deps:
	@./tools/test.sh deps

# Installs it (Debian or Ubuntu, as root). Services of the packages are not started.
.PHONY: install-deps
install-deps:
	./tools/test.sh install

# Formatting, vet and staticcheck.
.PHONY: check lint
check lint:
	./tools/test.sh check

# Formats all Go code as `make check` demands it.
.PHONY: fmt
fmt:
	./tools/test.sh fmt

# Coverage of the Go tests, in total and as a page, cover.html.
.PHONY: cover
cover:
	go test -coverpkg=./internal/...,./bearer/... -coverprofile=cover.out ./...
	go tool cover -html=cover.out -o cover.html
	@go tool cover -func=cover.out | tail -n 1

# Each fuzz target for FUZZTIME (default 3s).
.PHONY: fuzz
fuzz:
	./tools/test.sh fuzz

# The programs that others wrote, against the server: relying parties, a browser, proxies.
.PHONY: conformance
conformance:
	./tools/test.sh conformance

# Whole programs that others wrote, in Java, Rust, Python and C: built or installed from their
# registries and packages, set up as the guides say, and signed in to by a person.
.PHONY: strangers
strangers:
	./tools/test.sh strangers

# `make test` and `make strangers` at once, which takes less time than one after the other.
.PHONY: ci
ci:
	./tools/test.sh ci

# How fast the server is, compared with a bare net/http server on the same machine: a table, and the
# full report in tools/bench/report.md. Takes about a quarter of an hour on a quiet machine.
.PHONY: bench
bench:
	go run ./tools/bench

# The same with two seconds a row, as a table only.
.PHONY: bench-quick
bench-quick:
	go run ./tools/bench -quick -out ''

# Also with ten million users and grants: takes half an hour more, and 30 GB of disk.
.PHONY: bench-growth
bench-growth:
	go run ./tools/bench -growth

# The container image as a file, for docker load or podman load; without a container engine.
.PHONY: image
image:
	go run ./tools/image -out gatehouse-image.tar -version "$(VERSION)"

# The package of Debian and Ubuntu, for this machine's architecture or ARCH=arm64.
.PHONY: deb
deb:
	./deploy/debian/build "$(VERSION)" "$(ARCH)"

.PHONY: clean
clean:
	rm -f gatehouse cover.out cover.html
