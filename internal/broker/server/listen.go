package server

import (
	"context"
	"net"
)

// Listen opens a listening socket. The backlog is how many connections may wait to be accepted (socket.listen.backlog.size); 0 leaves the system's.
func Listen(ctx context.Context, network, address string, backlog int) (net.Listener, error) {
	var config net.ListenConfig
	socket, err := config.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if backlog > 0 {
		if err := setBacklog(socket, backlog); err != nil {
			_ = socket.Close() // the first error says what is wrong
			return nil, err
		}
	}
	return socket, nil
}
