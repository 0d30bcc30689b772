package config

// The reasons for which keys have no effect in this build. Each stands in docs/configs.md beside its keys.
var (
	noReplication      = NoEffect("this build runs one node, so nothing is replicated and no leadership moves")
	oneNode            = NoEffect("this build runs one node, which talks to no other broker")
	oneVoter           = NoEffect("this build runs one controller, which elects itself and answers no follower")
	noTransactions     = NoEffect("this build has no transactions and refuses transactional requests")
	noConsumer         = NoEffect("this build serves classic groups only, not the group protocol of KIP-848")
	noShare            = NoEffect("this build has no share groups")
	noStreams          = NoEffect("this build has no streams groups")
	noTiering          = NoEffect("this build keeps all data in its log directories and refuses to switch tiered storage on")
	noTLS              = NoEffect("this build has no TLS and refuses to start with an SSL listener")
	noSASL             = NoEffect("this build has no SASL and refuses to start with a SASL listener")
	noTokens           = NoEffect("delegation tokens need SASL, which this build does not have")
	noQuotas           = NoEffect("this build has no quotas and refuses to set one")
	noTelemetry        = NoEffect("this build does not collect metrics from clients; subscriptions are checked, stored and shown")
	noReporters        = NoEffect("Ottla serves its metrics to Prometheus on ottla.admin.listener and runs no Java classes")
	noThreads          = NoEffect("Ottla has no thread pools: its goroutines share all processors by themselves")
	noPurgatory        = NoEffect("Ottla has no purgatory: a request that is finished is gone")
	noLinger           = NoEffect("records gather by themselves while the write before them is under way, without waiting")
	noBufferCache      = NoEffect("coordinators take their buffers from the node's pool and keep none")
	noLoadBuffer       = NoEffect("coordinators load through the same readers as a fetch, whose buffers are sized by the batches")
	noCoordinatorCodec = NoEffect("coordinators write their records uncompressed, which every Kafka reads")
	noIdleRecords      = NoEffect("an idle Ottla writes nothing")
	noCheckpointTimer  = NoEffect("checkpoint files are written as the logs grow and at shutdown, not by a timer")
	noPreallocate      = NoEffect("a segment file grows with its records and ends at the last one, so that no stale bytes can follow it")
	noCordon           = NoEffect("this build places new partitions without asking for cordoned directories")
	noRequestQueue     = NoEffect("there is no queue between network and workers: a connection reads its next request when the one before is ordered, within queued.max.request.bytes")
	noEarlyStart       = NoEffect("all listeners open together, once the node can answer")
	policyRefused      = NoEffect("Ottla runs no Java classes; a value other than the default refuses the start, because what it protects would be open")
	providersRefused   = NoEffect("Ottla runs no Java classes; a value refuses the start, because settings would keep their placeholders")
)

// security reports whether the key belongs to a protection this build lacks, so that setting it later must be refused too.
func (e Effect) security() bool {
	return e == noTLS || e == noSASL || e == noTokens || e == policyRefused
}
