package vfs_test

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/ottla/ottla/internal/storage/vfs"
)

var errDisk = syscall.EIO

func TestRulesChooseCalls(t *testing.T) {
	second := &vfs.Rule{Op: vfs.OpWrite, Path: "*.log", Nth: 2, Fault: vfs.Fault{Err: errDisk}}
	full := &vfs.Rule{Op: vfs.OpWrite, Path: "d/*.index", Nth: 2, Onwards: true, Fault: vfs.Fault{Err: syscall.ENOSPC, Short: 3}}
	rename := &vfs.Rule{Op: vfs.OpRename, Path: "final", Fault: vfs.Fault{Err: errDisk, After: true}}
	faulty := vfs.NewFaulty(vfs.NewMem(), vfs.Rules{second, full, rename})
	must(t, faulty.MkdirAll("/d"))
	log, index, other := create(t, faulty, "/d/0.log", ""), create(t, faulty, "/d/0.index", ""), create(t, faulty, "/0.index", "")
	for i, want := range []error{nil, errDisk, nil} {
		n, err := log.WriteAt([]byte("12345"), 0)
		if !errors.Is(err, want) || (err == nil) != (n == 5) {
			t.Errorf("write %d to the log: %d, %v; want %v", i+1, n, err, want)
		}
		n, err = index.WriteAt([]byte("12345"), int64(i*5))
		if spoilt := i > 0; vfs.IsNoSpace(err) != spoilt || spoilt && n != 3 {
			t.Errorf("write %d to the index: %d, %v", i+1, n, err)
		}
		write(t, other, []byte("1"), 0)
	}
	if got := content(t, faulty, "/d/0.index"); got != "12345123\x00\x00123" {
		t.Errorf("short writes left %q", got)
	}
	wantError(t, "rename", faulty.Rename("/d/0.log", "/d/final"), errDisk)
	if _, err := faulty.Stat("/d/final"); err != nil {
		t.Errorf("the error came after the rename, yet: %v", err)
	}
	if second.Bitten() != 1 || second.Hits() != 3 || full.Bitten() != 2 || rename.Bitten() != 1 {
		t.Errorf("the rules bit %d of %d, %d and %d times", second.Bitten(), second.Hits(), full.Bitten(), rename.Bitten())
	}
	faulty.SetInjector(nil)
	write(t, index, []byte("1"), 0)
}

// Every operation can be made to fail, does nothing then, and works afterwards.
func TestEveryOperationFails(t *testing.T) {
	mem := vfs.NewMem()
	var file vfs.File
	operations := map[vfs.Op]func(vfs.FS) error{
		vfs.OpCreate:    func(f vfs.FS) error { _, err := f.Create("/new"); return err },
		vfs.OpOpen:      func(f vfs.FS) error { _, err := f.Open("/f"); return err },
		vfs.OpOpenRead:  func(f vfs.FS) error { _, err := f.OpenRead("/f"); return err },
		vfs.OpRemove:    func(f vfs.FS) error { return f.Remove("/gone") },
		vfs.OpRemoveAll: func(f vfs.FS) error { return f.RemoveAll("/f") },
		vfs.OpRename:    func(f vfs.FS) error { return f.Rename("/r", "/s") },
		vfs.OpMkdirAll:  func(f vfs.FS) error { return f.MkdirAll("/dir") },
		vfs.OpSyncDir:   func(f vfs.FS) error { return f.SyncDir("/") },
		vfs.OpReadDir:   func(f vfs.FS) error { _, err := f.ReadDir("/"); return err },
		vfs.OpStat:      func(f vfs.FS) error { _, err := f.Stat("/f"); return err },
		vfs.OpLock:      func(f vfs.FS) error { _, err := f.Lock("/l"); return err },
		vfs.OpFreeSpace: func(f vfs.FS) error { _, _, err := f.FreeSpace("/"); return err },
		vfs.OpRead:      func(vfs.FS) error { _, err := file.ReadAt(make([]byte, 1), 0); return err },
		vfs.OpWrite:     func(vfs.FS) error { _, err := file.WriteAt([]byte("y"), 0); return err },
		vfs.OpSync:      func(vfs.FS) error { return file.Sync() },
		vfs.OpTruncate:  func(vfs.FS) error { return file.Truncate(1) },
		vfs.OpSize:      func(vfs.FS) error { _, err := file.Size(); return err },
		vfs.OpClose:     func(vfs.FS) error { return file.Close() },
	}
	for op, do := range operations {
		t.Run(string(op), func(t *testing.T) {
			mem = vfs.NewMem()
			for _, name := range []string{"/f", "/r", "/gone"} {
				createClosed(t, mem, name, "x")
			}
			rule := &vfs.Rule{Op: op, Nth: 1, Fault: vfs.Fault{Err: errDisk}}
			faulty := vfs.NewFaulty(mem, vfs.Rules{rule})
			open := faulty.Open
			if op == vfs.OpOpen {
				open = faulty.OpenRead
			}
			var err error
			file, err = open("/f")
			must(t, err)
			wantError(t, "the first call", do(faulty), errDisk)
			if rule.Bitten() != 1 {
				t.Fatal("the fault did not bite")
			}
			if op != vfs.OpClose {
				must(t, do(faulty))
			}
			if got := faulty.Count(op, ""); got < 1 {
				t.Errorf("%d calls in the log", got)
			}
		})
	}
}

func TestLogTellsTheOrder(t *testing.T) {
	faulty := vfs.NewFaulty(vfs.NewMem(), nil)
	f := create(t, faulty, "/f", "data")
	must(t, f.Sync())
	must(t, faulty.Rename("/f", "/g"))
	must(t, faulty.SyncDir("/"))
	want := []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir}
	log := faulty.Log()
	if len(log) != len(want) {
		t.Fatalf("the log is %v", log)
	}
	for i, c := range log {
		if c.Op != want[i] || c.Err != nil || c.Begin >= c.End || i > 0 && log[i-1].End >= c.Begin {
			t.Errorf("call %d is %+v, want %s", i, c, want[i])
		}
	}
	if log[1].Len != 4 || log[3].To != "/g" {
		t.Errorf("details are missing: %+v, %+v", log[1], log[3])
	}
	faulty.ResetLog()
	if n := faulty.Count("", ""); n != 0 {
		t.Errorf("%d calls after ResetLog", n)
	}
}

func TestGateHoldsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := vfs.NewGate()
		faulty := vfs.NewFaulty(vfs.NewMem(), vfs.Rules{{Op: vfs.OpSync, Fault: vfs.Fault{Gate: gate}}})
		f := create(t, faulty, "/f", "x")
		done := make(chan error, 1)
		go func() { done <- f.Sync() }()
		<-gate.Reached()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("the sync did not wait")
		default:
		}
		if n := faulty.Count(vfs.OpSync, ""); n != 0 {
			t.Error("the sync is in the log before it ended")
		}
		write(t, f, []byte("y"), 1) // others go on
		gate.Open()
		must(t, <-done)
		must(t, f.Sync())
	})
}

// A test cuts the power before and after every call of a run.
func TestHooksSeeEveryCall(t *testing.T) {
	mem := vfs.NewMem()
	var before, after []string
	faulty := vfs.NewFaulty(mem, vfs.Hooks{
		OnBefore: func(vfs.Call) vfs.Fault {
			before = append(before, read(mem.Crash(vfs.LoseUnsynced), "/f"))
			return vfs.Fault{}
		},
		OnAfter: func(vfs.LoggedCall) { after = append(after, read(mem.Crash(vfs.LoseUnsynced), "/f")) },
	})
	f := create(t, faulty, "/f", "x")
	must(t, f.Sync())
	must(t, faulty.SyncDir("/"))
	if got := before[3]; got != "none" {
		t.Errorf("before SyncDir a power cut leaves %q", got)
	}
	if got := after[3]; got != "x*1" {
		t.Errorf("after SyncDir a power cut leaves %q", got)
	}
}
