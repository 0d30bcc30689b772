// Package wire turns the bytes of the Kafka protocol into values and back: frames, headers, request bodies, the hot responses.
//
// A byte from the network is never decoded unproven. Check walks a body along a table that is generated from the message definitions of
// kmsg, refuses what lies about itself, and tells how much memory decoding will take, so that it can be reserved first. Decode is Check
// followed by kmsg. Produce and Fetch, which carry the load, have decoders and encoders of their own here, as have headers.
//
// # Invariants
//
//  1. A body that Check accepts is decoded by kmsg without an error, in time linear in the body, and allocates no more than Check's cost; likewise
//     CheckProduce and CheckFetch for the decoders of our own.
//  2. A declared count is at most the bytes that remain divided by the smallest encoding of one element in that version; a tag section
//     holds at most MaxTags tags; a known tagged field fills its declared length exactly.
//  3. Check, the header parser and the Produce and Fetch codecs allocate nothing once their slices have grown; only a refusal allocates,
//     once, and the connection that caused it is closed.
//  4. No record byte is looked at or copied: a produce request hands out spans of the body, a fetch response is a header with cuts
//     between which the caller writes the records.
//  5. What is encoded here is read back equal by kmsg in every version.
//
// # Ownership
//
// Values that alias the request body say so ([]byte fields); they live as long as the body does. ProduceRequest, FetchRequest,
// ProduceResponse, FetchResponse and FetchEncoder belong to one goroutine at a time and are reused after Reset. The tables are read-only.
//
// # Does not
//
// It reads no socket, grants no memory, serves no API, decides no error code, and does not know record batches (package batch).
package wire
