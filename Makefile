# Everything here is a shorthand: `go run ./cmd/ottla` and `go test ./...` need none of it.
.PHONY: run check test clients compat bench fuzz generate

run: # one node with nothing configured
	go run ./cmd/ottla

check: # what CI asks of the code before it runs it
	gofmt -l . | (! grep .)
	go vet ./...
	go tool staticcheck ./...

test:
	go test ./...

clients: # installs the strangers that `compat` drives, into .clients/
	test/clients/install.sh

compat: clients # client x feature, Kafka's tools, franz-go's suite, against a real process
	go run ./test/compat

bench: # Ottla beside Apache Kafka, under 45 minutes; writes docs/performance.md. QUICK=1: the base cells, under 6 minutes, printed. BENCH: other arguments
	go run ./bench $(or $(BENCH),$(if $(QUICK),-quick,-save))

fuzz: # every fuzz target for a few seconds
	@go list ./... | while read -r pkg; do \
	  go test -list '^Fuzz' $$pkg | grep '^Fuzz' | while read -r target; do \
	    echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $${FUZZTIME:-10s} -fuzzminimizetime 10x $$pkg || exit 1; \
	  done || exit 1; \
	done

generate:
	go generate ./...
