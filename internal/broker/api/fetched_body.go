package api

import (
	"errors"
	"fmt"
	"io"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/storage/plog"
)

// fetchedBody writes a Fetch answer: the header's pieces and between them the records, which stream from their segments.
type fetchedBody struct{ f *fetched }

// Len is the size of the body.
func (b fetchedBody) Len() int { return b.f.enc.Len() }

// Held is the memory that the body holds, and for as long as the peer takes to read: what is read from a file has one buffer, one partition after the other.
// Records at the end of a log are in memory anyway.
func (b fetchedBody) Held() int {
	buffer := 0
	for i := range b.f.results {
		if b.f.show[i] {
			buffer = max(buffer, b.f.results[i].Records.Held())
		}
	}
	return len(b.f.enc.Head) + buffer
}

// WriteTo writes the body.
func (b fetchedBody) WriteTo(w io.Writer) (int64, error) {
	f := b.f
	var total int64
	at, cut := 0, 0
	for i := range f.results {
		records := &f.results[i].Records
		if records.Len() == 0 || !f.show[i] {
			continue
		}
		n, err := w.Write(f.enc.Head[at:f.enc.Cuts[cut].At])
		total += int64(n)
		if err != nil {
			return total, err
		}
		at = f.enc.Cuts[cut].At
		cut++
		written, err := b.records(w, records)
		total += written
		if _, disk := errors.AsType[*plog.DiskError](err); disk {
			err = fmt.Errorf("%w: %w", server.ErrDisk, err)
		}
		if err != nil {
			return total, err
		}
	}
	n, err := w.Write(f.enc.Head[at:])
	return total + int64(n), err
}

// records writes one partition's. What is in memory stays there until Close, so that the writer may send all partitions' pieces in one system call.
func (b fetchedBody) records(w io.Writer, records *plog.Slice) (total int64, err error) {
	keeper, ok := w.(server.Keeper)
	if !ok {
		return records.WriteTo(w)
	}
	b.f.buffers, ok = records.Buffers(b.f.buffers[:0])
	if !ok {
		return records.WriteTo(w)
	}
	for _, p := range b.f.buffers {
		n, err := keeper.Keep(p)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Close gives the segments and the request back.
func (b fetchedBody) Close() { b.f.release() }
