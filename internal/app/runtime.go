package app

import (
	"context"
	"math"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tuneMemory sets when garbage is collected, unless GOGC and GOMEMLIMIT say so.
func tuneMemory(e *env) {
	if e.getenv("GOGC") == "" {
		// The heap is small, and most of what a request allocates is garbage when it ends. A
		// collection at four times the heap instead of twice costs some megabytes and saves a
		// tenth of the CPU time.
		debug.SetGCPercent(300)
	}
	if limit := memoryLimit(os.ReadFile); limit > 0 && e.getenv("GOMEMLIMIT") == "" {
		// The Go runtime follows the CPU limit of a container by itself, but not the memory limit:
		// without this, it would collect too late, and the kernel end the process. The rest is for
		// what is not the heap, such as stacks, the code and SQLite's shared memory.
		debug.SetMemoryLimit(limit - limit/5)
	}
}

// returnMemory returns to the system what the start needed and an idle server does not: garbage,
// and the parts of the program that were read.
func returnMemory() {
	debug.FreeOSMemory()
	unmapProgram()
}

// tuneThreads adds a thread, unless GOMAXPROCS says how many there are.
func tuneThreads(e *env) {
	if e.getenv("GOMAXPROCS") == "" {
		// One more than there are cores: signing and hashing take milliseconds without yielding,
		// and a thread may wait for the disk. The additional thread accepts requests meanwhile.
		// The limits of signing and hashing were computed from the number of cores before.
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// followQuota follows changes of the CPU limit until ctx ends, which the Go runtime does only as
// long as nobody sets the number of threads.
func followQuota(ctx context.Context, e *env) {
	if e.getenv("GOMAXPROCS") != "" {
		return
	}
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			runtime.SetDefaultGOMAXPROCS()
			tuneThreads(e)
		}
	}
}

const hashMemory = 19 << 20 // bytes that one hash of a password needs

// hashWidth returns how many passwords are hashed at once: as many as there are cores, but in a
// container with little memory as many as half of it holds.
func hashWidth(cores int, limit int64) int {
	if limit <= 0 {
		return cores
	}
	return max(1, min(cores, int(limit/2/hashMemory)))
}

// memoryLimit returns the smallest memory limit of the control groups that this process is in, in
// bytes, or 0 if there is none.
func memoryLimit(read func(name string) ([]byte, error)) int64 {
	raw, err := read("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	limit := int64(math.MaxInt64)
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root, file := "/sys/fs/cgroup", "memory.max" // version 2
		switch controllers := strings.Split(parts[1], ","); {
		case parts[0] == "0" && parts[1] == "":
		case len(controllers) > 0 && slices.Contains(controllers, "memory"):
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes" // version 1
		default:
			continue
		}
		// A container may see its own group as the root, or by a path that does not exist there.
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			limit = min(limit, readLimit(read, path.Join(root, dir, file)))
			if dir == "/" {
				break
			}
		}
	}
	if limit >= 1<<50 { // how version 1 writes that there is none
		return 0
	}
	return limit
}

// readLimit reads one limit, or the greatest number if there is none.
func readLimit(read func(name string) ([]byte, error), name string) int64 {
	raw, err := read(name)
	if err != nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil || n <= 0 { // "max"
		return math.MaxInt64
	}
	return n
}
