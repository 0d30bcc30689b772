// Package session keeps incremental fetch sessions (KIP-227): what each fetcher is subscribed to and what it was told last, so that its requests carry only
// changes and the answers only partitions with news.
//
// A fetch begins with Begin, which says what to read; Finish says which partitions the answer must show, and under which session id. Between the two the
// reads take place, without the cache. A client that repeats or reorders requests is found out by the session's epoch.
//
// # Invariants
//
//  1. A session's epoch grows by one with every incremental fetch that was begun; a fetch whose epoch is not the present one changes nothing.
//  2. The partitions of a Context stay what Finish believes them to be: between Begin and Finish only a further Begin may change the session, and that
//     moves the epoch, which makes Finish refuse.
//  3. The cache never holds more than its slots, nor more than MaxPartitions partitions; whom it cannot hold fetches without a session.
//  4. A session is evicted for another only if it is idle for longer than the minimum, or old enough and worth less than the newcomer: a follower's session is worth more than a
//     consumer's, a large one more than a small one.
//
// # Ownership
//
// The owner of a Cache serialises all calls. A Context belongs to its fetch, between Begin and Finish without the cache.
//
// # Does not
//
// It does not read logs, resolve topics, draw random numbers or know the time.
package session
