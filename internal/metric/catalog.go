package metric

import (
	"slices"
	"strings"
)

// Kind is how a family's values behave.
type Kind uint8

const (
	CounterKind Kind = iota
	GaugeKind
	HistogramKind
)

func (k Kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// Family is one metric by name: `ottla_…`, ending in its unit, and in _total when it is a counter.
type Family struct {
	Name   string
	Help   string
	Kind   Kind
	Unit   Unit
	Labels []string
}

var catalog []*Family

func family(kind Kind, unit Unit, name, help string, labels ...string) *Family {
	f := &Family{Name: name, Help: help, Kind: kind, Unit: unit, Labels: labels}
	catalog = append(catalog, f)
	return f
}

// Catalog returns every family there is, by name.
func Catalog() []*Family {
	out := slices.Clone(catalog)
	slices.SortFunc(out, func(a, b *Family) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Requests, by Kafka API. The four durations of a request: local is stage one on the connection's reader, parked is waiting for a commit, data or a deadline,
// send is encoding and handing the answer to the socket, and request_seconds is all of it from the arrival of the last byte.
var (
	RequestSeconds       = family(HistogramKind, Seconds, "ottla_request_seconds", "Time from the arrival of a request's last byte until its answer was handed to the socket.", "api")
	RequestLocalSeconds  = family(HistogramKind, Seconds, "ottla_request_local_seconds", "Time a request kept its connection's reader: checking, decoding, appending or reading.", "api")
	RequestParkedSeconds = family(HistogramKind, Seconds, "ottla_request_parked_seconds", "Time an answer waited for a commit, for data or for its deadline. Answers that were ready at once are not counted.", "api")
	RequestSendSeconds   = family(HistogramKind, Seconds, "ottla_request_send_seconds", "Time from an answer being ready until it was handed to the socket.", "api")
	RequestBytes         = family(HistogramKind, Bytes, "ottla_request_bytes", "Size of requests, with their headers.", "api")
	ResponseBytes        = family(HistogramKind, Bytes, "ottla_response_bytes", "Size of responses, with their headers.", "api")
)

// Connections and the memory of requests.
var (
	Connections        = family(GaugeKind, Things, "ottla_connections", "Open connections.", "listener")
	ConnectionsOpened  = family(CounterKind, Things, "ottla_connections_opened_total", "Connections accepted.", "listener")
	ConnectionsClosed  = family(CounterKind, Things, "ottla_connections_closed_total", "Connections closed, by reason: \"peer\" is a client that went away, \"disk_error\" a disk that failed a read while an answer was being written.", "reason")
	ConnectionsRefused = family(CounterKind, Things, "ottla_connections_refused_total", "Connections closed at once because of a limit.", "listener")
	AcceptErrors       = family(CounterKind, Things, "ottla_accept_errors_total", "Failed accepts, such as those for want of file descriptors.", "listener")
	QueueFull          = family(CounterKind, Things, "ottla_answer_queue_full_total", "Times a connection's reader stopped because too many of its answers were waiting.")
	BudgetLimitBytes   = family(GaugeKind, Bytes, "ottla_request_memory_limit_bytes", "Memory that requests and answers in flight may take together.")
	BudgetUsedBytes    = family(GaugeKind, Bytes, "ottla_request_memory_used_bytes", "Memory that requests and answers in flight take.")
	BudgetWaits        = family(CounterKind, Things, "ottla_request_memory_waits_total", "Times a connection had to wait for request memory.")
	BudgetWaiting      = family(GaugeKind, Things, "ottla_request_memory_waiting", "Connections that wait for request memory.")
)

// The node.
var (
	BuildInfo              = family(GaugeKind, Things, "ottla_build_info", "Always 1; the labels say what runs.", "version", "go_version")
	Topics                 = family(GaugeKind, Things, "ottla_topics", "Topics in the cluster.")
	Partitions             = family(GaugeKind, Things, "ottla_partitions", "Partitions with a replica on this node.")
	OfflinePartitions      = family(GaugeKind, Things, "ottla_offline_partitions", "Partitions on this node whose log has failed.")
	Groups                 = family(GaugeKind, Things, "ottla_groups", "Consumer groups that this node coordinates.")
	FetchSessions          = family(GaugeKind, Things, "ottla_fetch_sessions", "Fetch sessions in the cache.")
	FetchSessionPartitions = family(GaugeKind, Things, "ottla_fetch_session_partitions", "Partitions in all fetch sessions.")
	FetchSessionEvictions  = family(CounterKind, Things, "ottla_fetch_session_evictions_total", "Fetch sessions that gave way to others.")
)

// Log directories, labelled with their path.
var (
	DirOnline         = family(GaugeKind, Things, "ottla_dir_online", "1 while the log directory is in use, 0 after it has failed.", "dir")
	DirFreeBytes      = family(GaugeKind, Bytes, "ottla_dir_free_bytes", "Free space on the file system of the log directory.", "dir")
	DirRounds         = family(CounterKind, Things, "ottla_dir_commit_rounds_total", "Rounds of the committer: each writes and syncs for everyone who waits.", "dir")
	DirRoundLogs      = family(CounterKind, Things, "ottla_dir_commit_logs_total", "Logs that were written in rounds; divided by the rounds it is how many share one.", "dir")
	DirGathers        = family(CounterKind, Things, "ottla_dir_commit_gathers_total", "Rounds that waited for those who were likely to append at once.", "dir")
	DirGathersInVain  = family(CounterKind, Things, "ottla_dir_commit_gathers_in_vain_total", "Such waits that ended by time, with less than half of them there; a number of rounds after each does not wait.", "dir")
	DirRoundSeconds   = family(HistogramKind, Seconds, "ottla_dir_commit_seconds", "Time of a committer's round, from the first byte written to the last synced.", "dir")
	DirSyncs          = family(CounterKind, Things, "ottla_dir_syncs_total", "Files synced.", "dir")
	DirSyncSeconds    = family(HistogramKind, Seconds, "ottla_dir_sync_seconds", "Time of one file's sync.", "dir")
	DirDirectorySyncs = family(CounterKind, Things, "ottla_dir_directory_syncs_total", "Directories synced, to make new, renamed and removed files durable.", "dir")
	DirWrittenBytes   = family(CounterKind, Bytes, "ottla_dir_written_bytes_total", "Bytes of record batches written to segments.", "dir")
	DirSyncedBytes    = family(CounterKind, Bytes, "ottla_dir_synced_bytes_total", "Bytes of record batches synced.", "dir")
	DirCheckpoints    = family(CounterKind, Things, "ottla_dir_checkpoints_total", "Checkpoint files written.", "dir")
	DirNoSpace        = family(CounterKind, Things, "ottla_dir_no_space_total", "Times that a log could not be written in a round for want of space.", "dir")
	DirSizeBytes      = family(GaugeKind, Bytes, "ottla_dir_size_bytes", "Size of the file system of the log directory.", "dir")
	DirFull           = family(GaugeKind, Things, "ottla_dir_full", "0 while there is space, 1 while clients' records are refused for want of it, 2 while nothing is left and what was taken from clients waits in memory.", "dir")
	DirReserveBytes   = family(GaugeKind, Bytes, "ottla_dir_reserve_bytes", "Space that is kept for the moment at which nothing else is left.", "dir")
	DirStalled        = family(GaugeKind, Things, "ottla_dir_stalled", "1 while the disk has not finished a write or sync for longer than ottla.log.stall.ms.", "dir")
	DirStalledSeconds = family(GaugeKind, Seconds, "ottla_dir_stalled_seconds", "For how long the disk has not finished what it is writing or syncing; 0 when nothing is asked of it.", "dir")
	DirStalls         = family(CounterKind, Things, "ottla_dir_stalls_total", "Times that the disk did not finish a write or sync for longer than ottla.log.stall.ms.", "dir")
	DirProbeSeconds   = family(HistogramKind, Seconds, "ottla_dir_probe_seconds", "Time of the write and sync by which an idle disk is tried.", "dir")
	DirReadErrors     = family(CounterKind, Things, "ottla_dir_read_errors_total", "Reads of logs that the disk failed.", "dir")
)

// Compaction.
var (
	CleanerDirtyBytes       = family(GaugeKind, Bytes, "ottla_log_cleaner_dirty_bytes", "Bytes of compacted topics that the cleaner may look at and has not, as of its last look.")
	CleanerDirtyRatio       = family(GaugeKind, Things, "ottla_log_cleaner_max_dirty_ratio", "The greatest share of such bytes in one log, as of the cleaner's last look.")
	CleanerIdleSeconds      = family(GaugeKind, Seconds, "ottla_log_cleaner_idle_seconds", "Time since a log was last cleaned, or since the start.")
	CleanerRuns             = family(CounterKind, Things, "ottla_log_cleaner_runs_total", "Logs cleaned.")
	CleanerSeconds          = family(HistogramKind, Seconds, "ottla_log_cleaner_run_seconds", "Time that cleaning one log took.")
	CleanerReadBytes        = family(CounterKind, Bytes, "ottla_log_cleaner_read_bytes_total", "Bytes that the cleaner read.")
	CleanerWrittenBytes     = family(CounterKind, Bytes, "ottla_log_cleaner_written_bytes_total", "Bytes that the cleaner wrote.")
	CleanerUncleanable      = family(GaugeKind, Things, "ottla_log_cleaner_uncleanable_partitions", "Partitions that the cleaner leaves alone because cleaning them failed; the log says why.", "dir")
	CleanerUncleanableBytes = family(GaugeKind, Bytes, "ottla_log_cleaner_uncleanable_bytes", "Dirty bytes of such partitions, which grow until somebody looks.", "dir")
)

// The metadata log and its snapshots.
var (
	MetadataLogBytes         = family(GaugeKind, Bytes, "ottla_metadata_log_bytes", "Size of the metadata log's segments.")
	MetadataLogUnsaved       = family(GaugeKind, Bytes, "ottla_metadata_log_unsaved_bytes", "Metadata records that are in no snapshot, which a start reads one by one.")
	MetadataSnapshotBytes    = family(GaugeKind, Bytes, "ottla_metadata_snapshot_bytes", "Size of the newest snapshot of the metadata that this process wrote, or else of the one it began with (Kafka: LatestSnapshotGeneratedBytes).")
	MetadataSnapshotAge      = family(GaugeKind, Seconds, "ottla_metadata_snapshot_age_seconds", "Time since this process wrote a snapshot of the metadata, or since it started (Kafka: LatestSnapshotGeneratedAgeMs).")
	MetadataSnapshots        = family(CounterKind, Things, "ottla_metadata_snapshots_total", "Snapshots of the metadata written.")
	MetadataSnapshotFailures = family(CounterKind, Things, "ottla_metadata_snapshot_failures_total", "Snapshots of the metadata that could not be written, or old ones that could not be removed; the log says why.")
)

// Damage: what was synced and is not what was written any more, and the search for it.
var (
	RottenOffsets      = family(GaugeKind, Things, "ottla_log_rotten_offsets", "Offsets of a partition that cannot be read because their bytes on the disk are not what was written. A partition without damage has no line.", "dir", "topic", "partition")
	ScrubbedBytes      = family(CounterKind, Bytes, "ottla_scrub_bytes_total", "Bytes of sealed segments that were read and compared with their checksums in the background.", "dir")
	ScrubbedSegments   = family(CounterKind, Things, "ottla_scrub_segments_total", "Sealed segments that were compared with their checksums in the background.", "dir")
	ScrubErrors        = family(CounterKind, Things, "ottla_scrub_errors_total", "Segments that the disk could not read for the background check.", "dir")
	ScrubLastSeconds   = family(GaugeKind, Seconds, "ottla_scrub_last_complete_timestamp_seconds", "When the last pass over all sealed segments of the log directory ended, in seconds since 1970; 0 when none ever did.", "dir")
	ScrubProgressRatio = family(GaugeKind, Things, "ottla_scrub_progress_ratio", "How much of the present pass over the log directory is done, from 0 to 1; 1 while none runs.", "dir")
)

// Files and tail memory, of all log directories together but for what is unwritten.
var (
	OpenFiles           = family(GaugeKind, Things, "ottla_log_open_files", "Segment and index files that are open.")
	OpenFilesLimit      = family(GaugeKind, Things, "ottla_log_open_files_limit", "How many may be open before others are closed.")
	FileOpens           = family(CounterKind, Things, "ottla_log_file_opens_total", "Segment and index files opened.")
	TailMemoryBytes     = family(GaugeKind, Bytes, "ottla_log_tail_memory_bytes", "Memory that holds the tails of logs.")
	TailMemoryLimit     = family(GaugeKind, Bytes, "ottla_log_tail_memory_limit_bytes", "How much it may be.")
	TailMemoryPinned    = family(GaugeKind, Bytes, "ottla_log_tail_memory_pinned_bytes", "Tail memory that fetch answers on their way hold.")
	TailMemoryUnwritten = family(GaugeKind, Bytes, "ottla_log_tail_memory_unwritten_bytes", "Tail memory that is not written to its file yet.", "dir")
	TailMemoryRefused   = family(CounterKind, Things, "ottla_log_tail_memory_refused_total", "Appends that had to wait for tail memory.")
)
