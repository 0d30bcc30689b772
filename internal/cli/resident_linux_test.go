package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// residentFile is how much of files is mapped into this process, in KiB.
func residentFile(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	var size int
	if _, err := fmt.Sscan(rest, &size); err != nil {
		t.Fatalf("no RssFile: %v", err)
	}
	return size
}

func TestForgetStart(t *testing.T) {
	before := residentFile(t)
	if err := forgetStart(); err != nil {
		t.Fatal(err)
	}
	if after := residentFile(t); after > before/2 {
		t.Errorf("%d KiB of the program are there, %d before", after, before)
	}
}

// Mappings that somebody wrote to, that can be written, or that are of other files, stay.
func TestProgramMappings(t *testing.T) {
	const smaps = `00400000-00c00000 r-xp 00000000 08:01 77 /opt/my ottla
Size:               8192 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00c00000-00d00000 r--p 00800000 08:01 77 /opt/my ottla
Anonymous:             4 kB
00d00000-01e00000 r--p 00900000 08:01 77 /opt/my ottla
Anonymous:             0 kB
01e00000-01f00000 rw-p 01a00000 08:01 77 /opt/my ottla
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 08:01 99 /lib/libc.so.6
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00000000 00:00 0
Anonymous:             0 kB
`
	want := []mapping{{0x400000, 0x800000}, {0xd00000, 0x1100000}}
	if got := programMappings(smaps, "/opt/my ottla"); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
