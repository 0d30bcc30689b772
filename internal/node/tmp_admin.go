package node

import "context"

func (n *Node) startAdmin(ctx context.Context) error { return nil }
func (n *Node) registerMetrics()                     {}
