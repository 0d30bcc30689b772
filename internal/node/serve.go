package node

import (
	"net/netip"
	"time"

	"github.com/ottla/ottla/internal/broker/api"
	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/machine/meta"
)

// startServer opens the front door: everything else is ready (I1).
func (n *Node) startServer() error {
	b := &n.static.Broker
	n.broker = &api.Broker{
		NodeID: b.NodeID, ClusterID: n.clusterID, Image: func() *meta.Image { return n.image.Load() }, Controller: n.controller, Coordinators: n,
		Partitions: n.partitions, Quorum: n.quorum, Static: n.static, Dynamic: func() *config.Dynamic { return n.dynamic.Load() },
		Loggers: n.loggers, Sessions: api.NewSessions(b.FetchSessionCacheSlots), Log: n.loggers.Logger("api"), Clock: n.clock, Context: n.ctx,
	}
	for _, d := range n.dirs {
		n.broker.LogDirs = append(n.broker.LogDirs, logDir{d})
	}
	brokers, err := server.NewTable(n.broker.Handlers()...)
	if err != nil {
		return err
	}
	controllers, err := server.NewTable(n.broker.ControllerHandlers()...)
	if err != nil {
		return err
	}
	listeners := make([]server.Listener, len(n.sockets))
	for i, s := range n.sockets {
		table := brokers
		if b.Controls(s.Name) {
			table = controllers
		}
		listeners[i] = server.Listener{Name: s.Name, Socket: s.socket, Table: table}
	}
	limits := n.limits()
	n.server, err = server.New(server.Options{
		Listeners: listeners, BudgetBytes: b.RequestMemoryBytes, MaxRequestBytes: b.SocketRequestMaxBytes,
		IdleTimeout: b.ConnectionsMaxIdle, SendBufferBytes: b.SocketSendBufferBytes, ReceiveBufferBytes: b.SocketReceiveBufferBytes,
		Count: n.shareDescriptors, ManyRest: n.manyRest, Limits: &limits, Logger: n.loggers.Logger("server"), Metrics: n.metrics,
	})
	if err != nil {
		return err
	}
	n.registerMetrics()
	n.running.Go(func() {
		if err := n.server.Serve(); err != nil && n.ctx.Err() == nil {
			n.fail(err)
		}
	})
	n.log.Info("serving", "cluster_id", n.clusterID, "node_id", b.NodeID, "listeners", n.addresses.All, "admin", n.addresses.Admin, "start", time.Since(n.started))
	return nil
}

// limits are the connection limits in force.
func (n *Node) limits() server.Limits {
	d := n.dynamic.Load()
	out := server.Limits{
		MaxConnections: n.maxConnections(d.Connections.MaxConnections), CreationRate: d.Connections.MaxConnectionCreationRate, MaxConnectionsPerIP: d.MaxConnectionsPerIP,
		PerIP: map[netip.Addr]int{}, Listeners: map[string]server.ListenerLimits{},
	}
	for host, limit := range d.ConnectionsPerIP {
		if ip, err := netip.ParseAddr(host); err == nil {
			out.PerIP[ip.Unmap()] = limit
		} else {
			n.log.Warn("max.connections.per.ip.overrides names a host that is no address: it is skipped", "host", host)
		}
	}
	for name, l := range d.ListenerConnections {
		out.Listeners[name] = server.ListenerLimits{MaxConnections: l.MaxConnections, CreationRate: l.MaxConnectionCreationRate}
	}
	return out
}
