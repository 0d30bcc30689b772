package node

// The system lets a process open only so many files and connections. Connections may not take those that the logs need, or the disk would seem to fail: they wait
// to be accepted instead.
const (
	spareDescriptors = 40 // standard streams, locks, the poller, listeners, admin connections, small files that are being replaced
	fewestLogFiles   = 8
)

// logFiles is how many files of logs may stay open: what the configuration says, and a quarter of what the system allows at most; a round of the committer may open as
// many again.
func (n *Node) logFiles() int {
	files := n.static.Broker.LogOpenFiles
	if n.descriptors > 0 {
		files = min(files, max(fewestLogFiles, n.descriptors/4))
	}
	return files
}

// maxConnections is how many connections the descriptors that the logs leave allow, at least one.
func (n *Node) maxConnections(configured int) int {
	if n.descriptors <= 0 {
		return configured
	}
	return min(configured, max(1, n.descriptors-2*n.logFiles()-spareDescriptors))
}
