// Command compat shows that Ottla is a Kafka to clients and tools that know nothing of it.
//
//	make clients && go run ./test/compat                  everything, against Ottla
//	go run ./test/compat -target kafka                    the same against Apache Kafka 4.4: proves the drivers
//	go run ./test/compat -only matrix -clients java -features 'group\.'
//	go run ./test/compat -target kafka -only tools -record
//	go run ./test/compat -target kafka -hold              only starts a node and says where it is
//
// Its four parts:
//
//   - matrix: client × feature. Every client has a driver below drivers/ (or goclients/, a module of
//     its own) that answers each feature with PASS, FAIL and what was seen, or NA and what the client lacks.
//     A restart of the node lies between its phases.
//   - tools: Kafka's own command-line tools, run against the target and against Apache Kafka as the
//     control; what they print is compared after masking. Differences stand in differences.txt with a reason.
//   - suite: the tests of franz-go's client from its module, with an allow-list in suite.txt.
//   - gotchas: the package below this one, one test for each numbered trap of the wire protocol.
//
// # Invariants
//
//  1. Nothing is skipped silently: a cell without an answer, an unused entry of a list and a client that is
//     not installed are all red.
//  2. A red cell tells what was seen.
//  3. Whatever was started is ended by its process id, and every wait has a limit.
//
// # Ownership
//
// One goroutine for each driver that runs; each owns its process. The report is filled under its own lock.
//
// # Does not
//
// It does not import Ottla's packages and does not know its internals: it sees a process and a port.
package main
