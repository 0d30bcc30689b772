package cli

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// forgetStart has the system take back the pages of the program itself that only the start ran through; they are most of what a node at rest has in memory. They stay
// in the page cache, and what is used again is mapped again, many pages at a time.
//
// Only mappings that nobody has written to are given up: one that has pages of its own, such as those that a dynamic loader has relocated, would lose them.
func forgetStart() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	for _, m := range programMappings(string(maps), program) {
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, m.start, m.size, syscall.MADV_DONTNEED); errno != 0 {
			return os.NewSyscallError("madvise", errno)
		}
	}
	return nil
}

// mapping is a range of addresses.
type mapping struct{ start, size uintptr }

// programMappings finds in /proc/PID/smaps the mappings of a file that can only be read or run and have no pages but the file's.
func programMappings(smaps, file string) (found []mapping) {
	var m mapping
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case !strings.HasSuffix(fields[0], ":"): // the head of a mapping: addresses, permissions, offset, device, inode, path
			m = mapping{}
			from, to, _ := strings.Cut(fields[0], "-")
			start, err1 := strconv.ParseUint(from, 16, 64)
			end, err2 := strconv.ParseUint(to, 16, 64)
			if err1 == nil && err2 == nil && end > start && (fields[1] == "r--p" || fields[1] == "r-xp") && strings.HasSuffix(strings.TrimRight(line, "\n"), " "+file) {
				m = mapping{uintptr(start), uintptr(end - start)}
			}
		case fields[0] == "Anonymous:" && fields[1] == "0" && m.size > 0:
			found = append(found, m)
		}
	}
	return found
}
