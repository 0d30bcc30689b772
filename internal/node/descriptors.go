package node

// The system lets a process open only so many files and connections: one budget for both. Connections may not take the files that the logs need to make progress, or the
// disk would seem to fail: they wait to be accepted instead. What connections do not use, logs may keep open.
const (
	spareDescriptors = 40 // standard streams, locks, the poller, listeners, admin connections, small files that are being replaced
	fewestLogFiles   = 8
	// logShare is the part of the descriptors, one in so many, that connections leave to logs; as many are left for what rounds and readers hold beyond their cap.
	logShare = 8
)

// logFiles is how many files of logs may stay open beside so many connections: what the configuration says, and what the system allows.
func (n *Node) logFiles(connections int) int {
	files := n.static.Broker.LogOpenFiles
	if n.descriptors <= 0 {
		return files
	}
	return min(files, max(n.leastLogFiles(), n.descriptors-n.descriptors/logShare-spareDescriptors-connections))
}

func (n *Node) leastLogFiles() int { return max(fewestLogFiles, n.descriptors/logShare) }

// maxConnections is how many connections the descriptors that the logs need leave, at least one.
func (n *Node) maxConnections(configured int) int {
	if n.descriptors <= 0 {
		return configured
	}
	return min(configured, max(1, n.descriptors-2*n.leastLogFiles()-spareDescriptors))
}

// shareDescriptors has logs give up files to connections that come, and lets them keep more when those go.
func (n *Node) shareDescriptors(connections int) { n.handles.SetLimit(n.logFiles(connections)) }
