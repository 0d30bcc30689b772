package dir

import (
	"io"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// Unavailable stands for a directory that cannot be opened, in a node that goes on with others: it is offline from the beginning, and has no logs.
func Unavailable(fsys vfs.FS, path string, why error, o Options) *Dir {
	d := newDir(fsys, path, io.NopCloser(nil), o)
	d.meta = o.Meta
	d.share = d.memory.newShare(d.wake)
	d.share.close()
	d.epoch = NoBrokerEpoch
	err := d.offline(why)
	d.err.Store(&err)
	close(d.done)
	close(d.watched)
	return d
}
