package plog

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

func TestSmoke(t *testing.T) {
	path := t.TempDir()
	d, err := dir.Open(vfs.OS(), path, dir.Options{Meta: dir.Meta{NodeID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	id := model.TopicID{1}
	l, err := Open(d, "a-0", id, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	ch := make(chan struct{}, 1)
	l.OnProgress(func() {
		select {
		case ch <- struct{}{}:
		default:
		}
	})
	var bld batch.Builder
	for i := range 10 {
		bld.Reset(batch.Options{})
		bld.Append(1000+int64(i), nil, bytes.Repeat([]byte{byte(i)}, 3000))
		a, err := l.Append(bld.Build(), 1, time.Now(), Client)
		if err != nil {
			t.Fatal(err)
		}
		for l.SyncedOffset() < a.End {
			<-ch
		}
	}
	s, err := l.Read(3, l.EndOffset(), 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for b, err := range s.Batches() {
		if err != nil {
			t.Fatal(err)
		}
		n++
		_ = b
	}
	s.Close()
	if n != 7 {
		t.Fatal(n)
	}
	if err := d.Close(1); err != nil {
		t.Fatal(err)
	}
	d, err = dir.Open(vfs.OS(), path, dir.Options{Meta: dir.Meta{NodeID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if clean, e := d.CleanStart(); !clean || e != 1 {
		t.Fatal(clean, e)
	}
	l, err = Open(d, "a-0", id, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if l.EndOffset() != 10 || l.SyncedOffset() != 10 || l.LeaderEpoch() != 1 {
		t.Fatal(l.EndOffset())
	}
	_ = context.Background
	if err := d.Close(2); err != nil {
		t.Fatal(err)
	}
}
