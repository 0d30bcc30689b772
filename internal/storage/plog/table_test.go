package plog

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

var rewrite = flag.Bool("rewrite", false, "write docs/storage-faults.md")

const faultsPage = "../../../docs/storage-faults.md"

// faults are what is done to a call, by the letter they have in the table.
var faults = []struct {
	letter, name string
	fault        vfs.Fault
	kill, power  bool
	ops          []vfs.Op // that it may happen to; nil is all
}{
	{"P", "the power is cut before the call", vfs.Fault{}, true, true, nil},
	{"K", "the process is killed before the call", vfs.Fault{}, true, false, nil},
	{"E", "the call fails with EIO; a write after a part of its bytes", vfs.Fault{Err: syscall.EIO, Short: 40}, false, false, nil},
	{"D", "the call is done, and EIO is told all the same", vfs.Fault{Err: syscall.EIO, After: true}, false, false, nil},
	{"N", "no space: ENOSPC; a write after a part of its bytes", vfs.Fault{Err: syscall.ENOSPC, Short: 40}, false, false, []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpRename, vfs.OpMkdirAll}},
}

// columns are the kinds of calls.
var columns = []vfs.Op{vfs.OpMkdirAll, vfs.OpCreate, vfs.OpWrite, vfs.OpTruncate, vfs.OpSync, vfs.OpSyncDir, vfs.OpRename, vfs.OpRemove}

// cell is one fault at one kind of call of one operation.
type cell struct {
	operation, letter string
	op                vfs.Op
}

// tried runs an operation in a world of a seed, with a fault at its nth call; it returns the kind of that call, "" when the operation makes no so many.
func tried(o operation, seed uint64, n, f int) (op vfs.Op, err error) {
	w := newWorld(plainDice{rand.New(rand.NewPCG(seed, 21))}, dir.Options{})
	w.roll(1)
	w.twins[0].config.Durability = Sync
	switch c := w.twins[0].config; o.name {
	case "compaction":
		c.CleanupDelete, c.CleanupCompact, c.SegmentBytes = false, true, 2500
	case "append in a transaction", "end a transaction":
		c.CleanupDelete, c.CleanupCompact = true, false
	}
	defer w.end()
	if err := w.begin(); err != nil {
		return "", err
	}
	if err := w.prepare(o); err != nil {
		return "", fmt.Errorf("before: %w", err)
	}
	fault := faults[f]
	w.watching = func(c vfs.Call) vfs.Fault {
		if changes[c.Op] {
			if n--; n == 0 && (fault.ops == nil || slices.Contains(fault.ops, c.Op)) {
				op = c.Op
				w.bite.bitten, w.bite.fault = true, fault.fault // what explains errors
				if fault.kill {
					w.proc.kill()
					return vfs.Fault{}
				}
				return fault.fault
			}
		}
		return vfs.Fault{}
	}
	w.watch()
	w.powered = fault.power
	err = w.do(o)
	if err == nil && op == "" {
		err = w.do(settling)
	}
	w.watching, w.powered = nil, false
	w.watch()
	if err != nil {
		return op, err
	}
	return op, w.finish()
}

// settling waits for every log, and for what a cleaning does to its files.
var settling = operation{name: "settle", do: func(w *world) error {
	if err := w.scrubEnd(); err != nil {
		return err
	}
	for _, m := range w.twins {
		if err := w.settle(m); err != nil || m.log == nil || w.trouble() {
			return err
		}
		x := &logAndDir{Log: m.log}
		if err := w.until("replacement", x.swapped); err != nil {
			return w.explained(err)
		}
	}
	return nil
}}

// prepare brings a world to where an operation has something to do.
func (w *world) prepare(o operation) error {
	var names []string
	for range w.between(3, 12, "appends") {
		names = append(names, []string{"append", "append as an idempotent producer", "append compressed batches", "append as a follower", "append in a transaction", "end a transaction", "roll", "truncate", "sync"}[w.between(0, 8, "what")])
	}
	if o.name == "make a topic again" {
		names = append(names, "delete a topic")
	} else if o.name == "compaction" || o.name == "delete a topic" || w.between(0, 3, "settled") > 0 {
		names = append(names, "append", "roll", "append", "sync", "append", "roll", "sync")
	}
	if o.name == "end a transaction" {
		names = append(names, "append in a transaction", "append in a transaction", "append in a transaction", "append in a transaction")
	}
	for _, name := range names {
		i := slices.IndexFunc(operations, func(x operation) bool { return x.name == name })
		if err := w.do(operations[i]); err != nil {
			return err
		}
	}
	return nil
}

// finish goes on after a fault: everything can be settled and read, and is there after a power cut.
func (w *world) finish() error {
	for range 2 {
		if err := w.do(settling); err != nil {
			return err
		}
		for _, m := range w.twins {
			if m.log == nil {
				continue
			}
			if err := w.verify(m); err != nil {
				return fmt.Errorf("%s: %w; before:\n%s", m.name, err, &w.story)
			}
		}
		if err := w.crash(true); err != nil {
			return fmt.Errorf("%w; before:\n%s", err, &w.story)
		}
	}
	return nil
}

// TestEveryOperationWithEveryFault tries each operation of the list with each fault at each of its calls, from several states, and compares the page that says so. None may be open.
func TestEveryOperationWithEveryFault(t *testing.T) {
	worlds := 3
	if long(t) > 0 {
		worlds = 40
	}
	defer oneThread()()
	held := map[cell]int{}
	runs := 0
	for _, o := range operations {
		if !o.tabled {
			continue
		}
		for seed := range uint64(worlds) {
			for f := range faults {
				for n, misses := 1, 0; misses < 4 && n < 80; n++ {
					synctest.Test(t, func(t *testing.T) {
						runs++
						op, err := tried(o, seed, n, f)
						if err != nil {
							t.Fatalf("%s, seed %d, %s, call %d, a %s: %v", o.name, seed, faults[f].name, n, op, err)
						}
						if op != "" {
							held[cell{o.name, faults[f].letter, op}]++
							misses = 0
						} else if faults[f].ops == nil {
							misses++
						}
					})
					if t.Failed() {
						return
					}
				}
			}
		}
	}
	t.Logf("%d runs, %d cells", runs, len(held))
	if long(t) == 0 { // the page is of what every `go test` tries
		comparePage(t, held)
	}
}

// comparePage checks that the page has a row for every operation and nothing that was not tried.
func comparePage(t *testing.T, held map[cell]int) {
	path := filepath.FromSlash(faultsPage)
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(page(held)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(have)) {
		if f := strings.Split(strings.TrimSpace(line), "|"); len(f) == len(columns)+3 {
			rows[strings.TrimSpace(f[1])] = f[2:]
		}
	}
	for _, o := range operations {
		if !o.tabled {
			continue
		}
		row, ok := rows[o.name]
		if !ok {
			t.Errorf("%s has no row for %q: run this test with -rewrite", path, o.name)
			continue
		}
		for i, op := range columns {
			for _, f := range faults {
				said, tried := strings.Contains(row[i], f.letter), held[cell{o.name, f.letter, op}]
				if said && tried == 0 {
					t.Errorf("%s says that %q was tried with %s at a %s: it was not; run this test with -rewrite", path, o.name, f.letter, op)
				}
				if !said && tried > 5 { // a call that the operation makes only now and then may be missing
					t.Errorf("%s does not say that %q was tried with %s at a %s: run this test with -rewrite", path, o.name, f.letter, op)
				}
			}
		}
	}
	for _, m := range mutants {
		if !strings.Contains(string(have), "| "+m.name+" |") {
			t.Errorf("%s does not have the deliberate bug %q: run this test with -rewrite", path, m.name)
		}
	}
}
