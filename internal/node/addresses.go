package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/machine/meta"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// AddressesFile is written to every log directory, so that scripts find a node that took free ports.
const AddressesFile = "ottla.addresses"

// Addresses are what a node listens on.
type Addresses struct {
	// Listeners has an address for each listener by name; the first one where a name has several.
	Listeners map[string]string `json:"listeners"`
	// All has every address that was bound.
	All   []string `json:"all"`
	Admin string   `json:"admin,omitempty"`
}

// boundListener is a configured listener with its socket.
type boundListener struct {
	config.Listener
	socket net.Listener
}

// listen binds every listener. The two loopback addresses of an unconfigured node share one name; the second takes the port of the first.
func (n *Node) listen(ctx context.Context) error {
	n.addresses.Listeners = map[string]string{}
	for _, l := range n.static.Broker.Listeners {
		address := l.Address()
		if l.Optional && l.Port == 0 {
			if first, ok := n.addresses.Listeners[l.Name]; ok {
				address = net.JoinHostPort(l.Host, strconv.Itoa(portOf(first)))
			}
		}
		socket, err := server.Listen(ctx, "tcp", address, n.static.Broker.SocketListenBacklog)
		if err != nil {
			if l.Optional {
				n.log.Info("a loopback address is not available here", "address", address, "error", err)
				continue
			}
			return fmt.Errorf("listener %s cannot be opened: %w: %s", l.String(), err, openRemedy(l.Name, err))
		}
		n.sockets = append(n.sockets, boundListener{l, socket})
		taken := socket.Addr().String()
		n.addresses.All = append(n.addresses.All, l.Name+"://"+taken)
		if _, ok := n.addresses.Listeners[l.Name]; !ok {
			n.addresses.Listeners[l.Name] = taken
		}
	}
	return nil
}

// openRemedy says what to do about a listener that cannot be opened.
func openRemedy(name string, err error) string {
	_, lookup := errors.AsType[*net.DNSError](err)
	switch {
	case lookup || errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("listeners takes an address of this machine, %s://:PORT for all of them; what clients are told is advertised.listeners", name)
	case errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("choose a port above 1023 with listeners=%s://HOST:PORT, or let the process bind low ones", name)
	}
	return fmt.Sprintf("choose another port with listeners=%s://HOST:PORT, or stop whoever has this one", name)
}

func portOf(address string) int {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	p, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return p
}

// endpoints are what clients are told; a port of 0 stands for the one that was taken.
func (n *Node) endpoints(advertised []config.Listener) []meta.Endpoint {
	out := make([]meta.Endpoint, 0, len(advertised))
	for _, l := range advertised {
		port := l.Port
		if port == 0 {
			port = portOf(n.addresses.Listeners[l.Name])
		}
		out = append(out, meta.Endpoint{Listener: l.Name, Host: l.Host, Port: uint16(port)})
	}
	return out
}

func (n *Node) writeAddresses() error {
	data, err := json.MarshalIndent(n.addresses, "", "  ")
	if err != nil {
		return err
	}
	for _, d := range n.dirs {
		if d.Err() != nil {
			continue
		}
		if err := replaceFile(n.fs, filepath.Join(d.Path(), AddressesFile), append(data, '\n')); err != nil {
			return fmt.Errorf("write the addresses to %s: %w", d.Path(), err)
		}
	}
	return nil
}

// replaceFile writes a file that need not survive a crash, but is never seen half.
func replaceFile(fs vfs.FS, name string, data []byte) error {
	temporary := name + ".tmp"
	if err := fs.RemoveAll(temporary); err != nil {
		return err
	}
	f, err := fs.Create(temporary)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		_ = f.Close() // the first error says what is wrong
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return fs.Rename(temporary, name)
}
