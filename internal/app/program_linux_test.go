package app

import (
	"debug/elf"
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

// Only the pages of a program that nothing relocates are those of its file.
func TestKnowsWhetherTheProgramIsRelocated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind  elf.Type
		parts []elf.ProgType
		want  bool
	}{
		{elf.ET_EXEC, []elf.ProgType{elf.PT_PHDR, elf.PT_NOTE, elf.PT_LOAD, elf.PT_TLS, elf.PT_GNU_STACK}, true},
		{elf.ET_DYN, []elf.ProgType{elf.PT_LOAD}, false},
		{elf.ET_EXEC, []elf.ProgType{elf.PT_LOAD, elf.PT_GNU_RELRO}, false},
		{elf.ET_EXEC, []elf.ProgType{elf.PT_INTERP, elf.PT_LOAD, elf.PT_DYNAMIC}, false},
	} {
		f := &elf.File{FileHeader: elf.FileHeader{Type: c.kind}}
		for _, p := range c.parts {
			f.Progs = append(f.Progs, &elf.Prog{ProgHeader: elf.ProgHeader{Type: p}})
		}
		testkit.Equal(t, f.Type.String(), isConstant(f), c.want)
	}
}

func TestRunsOnWithoutItsPages(t *testing.T) {
	name, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
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
