package node

import (
	"testing"

	"github.com/ottla/ottla/internal/config"
)

// TestDescriptorsSuffice: whatever the system allows, all connections that are let in and the files that logs keep open beside them fit, with an eighth to spare for what
// is held for a moment.
func TestDescriptorsSuffice(t *testing.T) {
	for _, descriptors := range []int{64, 128, 256, 1024, 4096, 20_000, 1 << 20} {
		n := &Node{descriptors: descriptors, static: &config.Static{Broker: config.Broker{LogOpenFiles: 16384}}}
		most := n.maxConnections(1 << 30)
		if most < descriptors/8 {
			t.Errorf("%d descriptors: only %d connections", descriptors, most)
		}
		last := n.logFiles(0)
		for connections := range most + 1 {
			files := n.logFiles(connections)
			if files > last || files < fewestLogFiles {
				t.Fatalf("%d descriptors: %d files beside %d connections, %d beside one less", descriptors, files, connections, last)
			}
			if sum := connections + files + spareDescriptors + descriptors/logShare; sum > descriptors && files > fewestLogFiles {
				t.Fatalf("%d descriptors: %d connections and %d files leave no eighth", descriptors, connections, files)
			}
			last = files
		}
	}
	if n := (&Node{descriptors: 20_000, static: &config.Static{Broker: config.Broker{LogOpenFiles: 16384}}}); n.logFiles(64) < 10_000 {
		t.Errorf("of 20,000 descriptors and with 64 connections logs get %d: 10,000 partitions in turn would reopen their files at each write", n.logFiles(64))
	}
}
