package dir

// Hold is Dirty by somebody who calls Help or Pass before waiting for anything but the directories' memory. Until then nobody is woken: what else is held meanwhile is written with it.
func (d *Dir) Hold(l Log, m *Member) {
	if !m.dirty.CompareAndSwap(clean, held) {
		return
	}
	d.mu.Lock()
	d.mu.dirty = append(d.mu.dirty, dirtyLog{l, m})
	d.mu.Unlock()
}

// Help has what is held written: by the caller, if there is nothing else to do and nobody is at it, else by the committer. Where no sync is waited for a round is over sooner than
// a goroutine is woken.
func (d *Dir) Help() {
	if !d.turning.TryLock() {
		d.Pass()
		return
	}
	done := d.help()
	d.turning.Unlock()
	if !done {
		d.wake()
	}
}

// Pass leaves what is held to the committer, unless somebody has taken it.
func (d *Dir) Pass() {
	d.mu.Lock()
	left := len(d.mu.dirty) > 0
	d.mu.Unlock()
	if left {
		d.wake()
	}
}

// help runs one round over what is held. It returns false where there is more to do than that, which is the committer's.
func (d *Dir) help() bool {
	if d.full.Load() || d.spaceDue.Load() || d.hung.Load() || len(d.stalled) > 0 {
		return false
	}
	d.mu.Lock()
	if d.mu.awaited || len(d.mu.revived) > 0 {
		d.mu.Unlock()
		return false
	}
	logs := d.takeDirtyLocked()
	d.mu.Unlock()
	if len(logs) > 0 {
		d.commitAll(logs)
	}
	clear(logs)
	d.spare = logs[:0]
	return true
}
