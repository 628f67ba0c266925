package app

import (
	"bufio"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram takes the read-only pages of the program's file out of this process. They stay in
// the page cache, and are mapped again where they are read again. A page that has been written to,
// by a debugger for example, is read from the file again. So the pages of a program stay that the
// dynamic linker writes to before it makes them read-only.
func unmapProgram() {
	file, err := elf.Open("/proc/self/exe")
	if err != nil {
		return // without /proc the pages stay
	}
	constant := isConstant(file)
	_ = file.Close()
	if !constant {
		return
	}
	name, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for _, r := range programRanges(maps, name) {
		// The range is as it is in the file, so that nothing can be lost.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, r.from, r.to-r.from, unix.MADV_DONTNEED)
	}
}

// isConstant reports whether the read-only pages of a program are as they are in its file: it has a
// fixed address, and no part that is read-only only after it was relocated.
func isConstant(f *elf.File) bool {
	for _, p := range f.Progs {
		if p.Type == elf.PT_GNU_RELRO || p.Type == elf.PT_DYNAMIC || p.Type == elf.PT_INTERP {
			return false
		}
	}
	return f.Type == elf.ET_EXEC
}

// An addressRange is a part of the memory of this process.
type addressRange struct{ from, to uintptr }

// programRanges returns where the file with a name is mapped and cannot be written, from the
// contents of /proc/PID/maps.
func programRanges(maps io.Reader, name string) []addressRange {
	var out []addressRange
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		place, rest, _ := strings.Cut(lines.Text(), " ")
		mode, rest, _ := strings.Cut(rest, " ")
		_, file, _ := strings.Cut(rest, "/")
		if mode != "r--p" && mode != "r-xp" || "/"+file != name {
			continue
		}
		var r addressRange
		if n, _ := fmt.Sscanf(place, "%x-%x", &r.from, &r.to); n == 2 && r.from < r.to {
			out = append(out, r)
		}
	}
	return out
}
