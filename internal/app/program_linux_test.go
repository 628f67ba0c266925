package app

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func TestFindsWhereTheProgramIsMapped(t *testing.T) {
	t.Parallel()
	maps := `00400000-01f3e000 r-xp 00000000 fe:00 1312 /opt/gate house
01f3e000-0410f000 r--p 01b3e000 fe:00 1312 /opt/gate house
0410f000-04200000 rw-p 03d0f000 fe:00 1312 /opt/gate house
c000000000-c004000000 rw-p 00000000 00:00 0
7f0000000000-7f0000008000 r--s 00000000 fe:00 77 /data/g.db-shm
7f0000010000-7f0000018000 r--p 00000000 fe:00 78 /opt/gate house.db
7ffc0000-7ffd0000 r-xp 00000000 00:00 0 [vdso]
nonsense
`
	got := programRanges(strings.NewReader(maps), "/opt/gate house")
	testkit.Equal(t, "ranges", got, []addressRange{{0x400000, 0x1f3e000}, {0x1f3e000, 0x410f000}})
}

func TestRunsOnWithoutItsPages(t *testing.T) {
	name, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	raw, err := os.ReadFile("/proc/self/maps")
	testkit.Must(t, err)
	if len(programRanges(strings.NewReader(string(raw)), name)) == 0 {
		t.Fatalf("the program is mapped nowhere in\n%s", raw)
	}
	for range 3 {
		unmapProgram()
		runtime.GC() // reads the types and the stack maps
	}
}
