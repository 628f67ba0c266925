package app

import (
	"os"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The memory limit is the smallest one of the groups above the process, in both versions of control
// groups, inside and outside of a container.
func TestMemoryLimit(t *testing.T) {
	const mib = 1 << 20
	for _, row := range []struct {
		what  string
		files map[string]string
		want  int64
	}{
		{"no control groups", nil, 0},
		{"no limit", map[string]string{"/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/memory.max": "max\n"}, 0},
		{"version 2", map[string]string{"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "67108864\n"}, 64 * mib},
		{"a group above", map[string]string{
			"/proc/self/cgroup":             "0::/a/b\n",
			"/sys/fs/cgroup/a/memory.max":   "33554432\n",
			"/sys/fs/cgroup/a/b/memory.max": "67108864\n",
		}, 32 * mib},
		{"in a container", map[string]string{"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "67108864\n"}, 64 * mib},
		{"version 1 in a container", map[string]string{
			"/proc/self/cgroup":                           "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "67108864\n",
		}, 64 * mib},
		{"version 1 without a limit", map[string]string{
			"/proc/self/cgroup":                           "4:memory:/\n",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
	} {
		read := func(name string) ([]byte, error) {
			if text, ok := row.files[name]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		}
		testkit.Equal(t, row.what, memoryLimit(read), row.want)
	}
	for _, row := range []struct {
		cores int
		limit int64
		want  int
	}{{8, 0, 8}, {8, 64 * mib, 1}, {8, 256 * mib, 6}, {2, 1 << 30, 2}, {4, mib, 1}} {
		testkit.Equal(t, "width of hashing", hashWidth(row.cores, row.limit), row.want)
	}
}
