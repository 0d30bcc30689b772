// Command goclients drives franz-go, sarama and segmentio's kafka-go through the
// compatibility matrix. It is a module of its own, so that the project's go.mod
// holds none of them.
//
//	goclients LIBRARY run BOOTSTRAP PREFIX FEATURE,FEATURE…
//	goclients LIBRARY member BOOTSTRAP GROUP TOPIC   (a group member that runs until it is killed)
//	goclients LIBRARY live BOOTSTRAP PREFIX          (prints READY, goes on after a line on standard input)
package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "usage: goclients LIBRARY run|member|live BOOTSTRAP ARGUMENT…")
		os.Exit(2)
	}
	library, command, bootstrap, args := os.Args[1], os.Args[2], os.Args[3], os.Args[4:]
	m, err := newMatrix(library, bootstrap, args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer m.client.Close()
	cells := m.cells()
	switch command {
	case "run":
		for _, feature := range strings.Split(args[1], ",") {
			do, ok := cells[feature]
			if !ok {
				do = func() { panic(fmt.Errorf("no such feature in this driver")) }
			}
			m.answer(feature, do)
		}
	case "member":
		mem := m.member(args[0], args[1], ConsumerOptions{Session: 3 * time.Second})
		<-mem.done
	case "live":
		m.answer("restart.live", m.live)
	}
}
