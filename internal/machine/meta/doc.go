// Package meta decides about the cluster's metadata: brokers, topics, partitions, configurations, features and producer ids. Its hard state is the
// metadata image, and its records are Kafka's KRaft records (package record), so that Kafka's tools read our metadata log.
//
// Every input and reply is a struct of this package. Replies carry the protocol's error codes, one per item where the protocol has items.
//
// # Invariants
//
//  1. An Image never changes once it was handed out; images share what did not change between them.
//  2. Replaying the log's records gives an image equal to the one that living through them gave.
//  3. A published image contains only committed records, all of them up to its position, and no part of an open metadata transaction.
//  4. No producer id is in two blocks that were handed out.
//  5. A leader epoch never falls, and a broker that came back after an unclean shutdown leads no partition in an epoch in which it led before: its
//     registration raises those epochs first. After a clean shutdown its log is complete to the last record that anyone could have seen, and the
//     epoch goes on.
//  6. No record is lost that means something to others: what the machine does not act on (quotas, ACLs, credentials, tokens) is kept up to date in the image,
//     and what it does not understand changes nothing else, is counted (Image.UnknownRecords) and kept as it is.
//  7. The records of an image (Image.Records), applied to an empty one, give an equal image.
//
// # Ownership
//
// The Machine belongs to the goroutine of its shard, which also calls Options.Publish. Images and deltas belong to nobody: anyone may read them.
//
// # Does not
//
// It does not know Kafka's requests, defaults of configurations, or what is allowed in them: Options carries functions for that. It makes up no ids.
package meta
