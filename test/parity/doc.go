// Command parity finds where Ottla's answers differ from Apache Kafka's, field by field.
//
//	make clients && go run ./test/parity               starts both from one .properties file and compares
//	go run ./test/parity -only 'configs' -text         some scenarios, messages word for word
//	go run ./test/parity -a HOST:PORT -b HOST:PORT     against nodes that run already; -a is the control
//
// A scenario asks both nodes the same at every version of an API. Both answers are decoded, what must differ
// (ids, ports, times, sizes) is replaced by names, and the rest is compared by path. A difference that
// differences.txt does not give a reason for is red, and so is a reason that no difference needs any more.
//
// # Invariants
//
//  1. Both sides get the same requests; only ids that a side itself has given out differ.
//  2. An answer that does not come, a closed connection and a body that cannot be decoded are results that are compared too.
//  3. Whatever was started is ended by its process id, and every wait has a limit.
//
// # Ownership
//
// One goroutine for each side and scenario; a side's state belongs to it.
//
// # Does not
//
// It does not import Ottla's packages: it sees two ports.
package main
