package dir

// Mutants are deliberate bugs that a test can switch on, to prove that the crash harness finds them. They are never set by a node.
type Mutants uint16

const (
	// AckBeforeSync settles rounds without syncing.
	AckBeforeSync Mutants = 1 << iota
	// SkipDirSync leaves out the syncs of directories in rounds.
	SkipDirSync
	// CutRot lets recovery cut at a bad batch below the recovery point.
	CutRot
	// SkipRecoverySync counts what recovery found as synced without syncing it.
	SkipRecoverySync
	// ForgetStart acknowledges a new start offset before it is in the checkpoint.
	ForgetStart
	// SkipCutSync writes over a cut before the cut is synced.
	SkipCutSync
	// SkipJournalSync acknowledges what is in the journal without syncing it.
	SkipJournalSync
	// KeepJournal lets files be cut although the journal would bring the cut bytes back.
	KeepJournal
	// SkipReplay opens the logs without applying the journal.
	SkipReplay
	// EarlyMarker writes the marker of a clean stop before everything else is on disk.
	EarlyMarker
	// KeepMarker leaves the marker of a clean stop where it is at the next start.
	KeepMarker
	// ManifestLast replaces the manifest after the checkpoint files that it goes with.
	ManifestLast
	// SkipSwapSync replaces segments by their compacted form without making each step durable before the next.
	SkipSwapSync
)
