.PHONY: build test check fuzz fmt clean

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

fmt:
	go tool -modfile=tools/go.mod gofumpt -w cmd internal conformance examples

clean:
	rm -f gatehouse
