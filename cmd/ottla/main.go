// Ottla is a Kafka in one binary: a node, and the verbs to use it. Everything is in internal/cli.
package main

import (
	"os"

	"github.com/ottla/ottla/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args)) }
