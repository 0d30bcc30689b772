package plog

import (
	"fmt"
	"strings"
)

// page is docs/storage-faults.md.
func page(held map[cell]int) string {
	var b strings.Builder
	b.WriteString(`# Operations, crashes and faults of a log

Written by ` + "`go test ./internal/storage/plog -run TestEveryOperationWithEveryFault -rewrite`" + `, which fails when this page says more, or much less, than was tried.

Every operation of a log is done from several states of a directory, random ones, and each call by which it changes the disk meets, in turn, each fault. Afterwards the log must go on or be offline, the next process must find
everything that was acknowledged and nothing that was not appended, in its place, with its leader epochs and producers, and so must the one after a second power cut. The model behind it is that of ` + "`TestAgainstASlice`" + `, which throws dice over the
same operations and faults. A letter in a cell says that the fault was tried at such calls, and held:

`)
	for _, f := range faults {
		fmt.Fprintf(&b, "* **%s**: %s\n", f.letter, f.name)
	}
	b.WriteString("\nAn empty cell: the operation makes no such call, or the fault cannot happen there. None is open.\n\n| Operation |")
	for _, op := range columns {
		fmt.Fprintf(&b, " %s |", op)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(columns)) + "\n")
	for _, o := range operations {
		if !o.tabled {
			continue
		}
		fmt.Fprintf(&b, "| %s |", o.name)
		for _, op := range columns {
			letters := ""
			for _, f := range faults {
				if held[cell{o.name, f.letter, op}] > 1 {
					letters += f.letter
				}
			}
			fmt.Fprintf(&b, " %s |", letters)
		}
		b.WriteString("\n")
	}
	b.WriteString(`
Reads that fail, disks that fill up and empty again, calls that hang and bits that flip have tests of their own: ` + "`TestAgainstASlice`, `TestFullDiskWaitsForSpace`, `TestHungDisk`, `TestFlippedBitsOfEveryKindOfFile`" + `.

## Long forms

The short forms run with every ` + "`go test`" + `. The long ones, last on 2026-11-22 on a machine of two cores that others used too:

| What | Command, with ` + "`OTTLA_LONG=1 go test ./internal/storage/plog -timeout 60m -v -run`" + ` | Result |
| --- | --- | --- |
| power cuts during random operations, with torn, reordered and lost sectors and directory entries | ` + "`'TestCrashImages$'`" + ` | 100,046 images of 1,366 worlds: none lost an acknowledged record, none served anything else (two minutes alone, eight beside others) |
| 10,000 flipped bits of each of 24 kinds of file, with and without a manifest | ` + "`TestFlippedBitsOfEveryKindOfFile`" + ` | 240,000 flips: each noticed, or without effect (seven to ten minutes; ` + "`-run 'TestFlippedBitsOfEveryKindOfFile/segment'`" + ` is one slice of it) |
| ten million operations of the model, of random seeds, crashes, full and failing disks among them | ` + "`OTTLA_LONG=10000000 … AgainstASlice -rapid.steps=60 -timeout 0`" + ` | 10,004,274 operations agree with the slice (five minutes beside others); with ` + "`-rapid.steps=150`" + `, whose longer stories find more, 10,014,387 (seven minutes) |
| every operation with every fault at every call, in 40 worlds instead of 3 | ` + "`TestEveryOperationWithEveryFault`" + ` | 131,078 runs of 676 cells, none open (three and a half minutes) |

## Deliberate bugs

A harness that does not find them is no harness. ` + "`TestHarnessFindsDeliberateBugs`" + ` puts each of these into the directory, the disk or the memory, and the crash images of random worlds (` + "`TestCrashImages`" + ` without a bug) must show it.

| Bug | Shows as |
| --- | --- |
`)
	for _, m := range mutants {
		fmt.Fprintf(&b, "| %s | %s |\n", m.name, m.kill)
	}
	b.WriteString(`
Bugs that need a state of their own:

| Bug | Found by |
| --- | --- |
| recovery cuts at rot | ` + "`TestRotIsNeverCut`" + ` |
| recovery counts what it found as synced | ` + "`TestKillThenPowerCut`" + ` |
| steps of a compaction's swap not durable one by one | ` + "`TestCrashTestFindsUnsyncedReplacement`" + ` |
| the marker of a clean stop before the end; the marker kept at the next start | package ` + "`dir`: `TestPowerCutsAtEveryCall`" + ` |
| the checkpoint files before the manifest | package ` + "`dir`: `TestPowerCutsAtEveryCall`" + ` |
| frames of the journal out of order, or of an earlier life | package ` + "`dir`: `TestStaleFramesAreNotApplied`, `TestDamagedFrames`" + `; frames carry numbers, and a missing or strange one is refused |
| a stale batch behind the end is taken for a record | ` + "`TestStaleBatchBehindTheEnd`" + ` |
`)
	return b.String()
}
