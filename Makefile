.PHONY: build test check fuzz bench bench-quick bench-growth fmt clean

# The complete static binary. Nothing but Go is needed.
build:
	CGO_ENABLED=0 go build -trimpath -o gatehouse ./cmd/gatehouse

# Every test, on a fresh Debian machine: installs what is missing (as root), starts its own
# database, Redis and browser on free ports, and leaves nothing running.
test:
	./tools/test.sh

# Formatting, vet and staticcheck alone.
check:
	./tools/test.sh check

# Every fuzz target for FUZZTIME each (default 3s).
fuzz:
	./tools/test.sh fuzz

# How fast the server is, beside a bare net/http server on the same machine: a table, and docs/BENCHMARKS.md. About
# a quarter of an hour; keep the machine quiet meanwhile.
bench:
	go run ./bench

# The same with two seconds a row, as a table only.
bench-quick:
	go run ./bench -quick -out ''

# Also with ten million users and grants: needs half an hour and 30 GB of disk.
bench-growth:
	go run ./bench -growth

fmt:
	go tool -modfile=tools/go.mod gofumpt -w cmd internal conformance examples bench

clean:
	rm -f gatehouse
