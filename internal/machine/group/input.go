package group

import "github.com/ottla/ottla/internal/kafka/model"

// Protocol is one assignment protocol that a member offers, in its order of preference, with the member's metadata for it.
type Protocol struct {
	Name     string
	Metadata []byte
}

// JoinGroup asks to become or stay a member; the answer is a JoinGroupReply, given when the generation is formed.
type JoinGroup struct {
	Version    int16 // of the request: 4 and above know the MEMBER_ID_REQUIRED handshake, 9 and above may skip the assignment
	Group      string
	MemberID   string  // empty for a member that has none yet
	InstanceID *string // nil for a dynamic member
	// UUID is a fresh random id in its text form. A new member's id is the client id, or the instance id, then a dash, then UUID.
	UUID               string
	ClientID           string
	ClientHost         string // as Kafka shows it: a slash and the address
	SessionTimeoutMs   int32
	RebalanceTimeoutMs int32 // version 0 has none: the session timeout counts
	ProtocolType       string
	Protocols          []Protocol
}

// JoinGroupReply answers JoinGroup. Members is filled for the leader only.
type JoinGroupReply struct {
	Code           model.ErrorCode
	Generation     int32 // -1 with an error
	ProtocolType   string
	Protocol       string
	Leader         string
	SkipAssignment bool
	MemberID       string
	Members        []JoinedMember
}

// JoinedMember is what the leader learns of a member.
type JoinedMember struct {
	MemberID   string
	InstanceID *string
	Metadata   []byte
}

// Assignment is what the leader gives to one member.
type Assignment struct {
	MemberID   string
	Assignment []byte
}

// SyncGroup asks for the member's assignment, and brings everyone's when it is the leader's; the answer is a SyncGroupReply.
type SyncGroup struct {
	Group        string
	Generation   int32
	MemberID     string
	InstanceID   *string
	ProtocolType *string // version 5 and above; nil is not compared
	Protocol     *string // version 5 and above; nil is not compared
	Assignments  []Assignment
}

// SyncGroupReply answers SyncGroup.
type SyncGroupReply struct {
	Code         model.ErrorCode
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// Heartbeat keeps a member's session alive; the answer is a HeartbeatReply.
type Heartbeat struct {
	Group      string
	Generation int32
	MemberID   string
	InstanceID *string
}

// HeartbeatReply answers Heartbeat.
type HeartbeatReply struct {
	Code model.ErrorCode
}

// LeaveGroup removes members; the answer is a LeaveGroupReply. Versions 0 to 2 carry one member.
type LeaveGroup struct {
	Group   string
	Members []LeavingMember
}

// LeavingMember names a member by its id, or, with an empty id, a static member by its instance id.
type LeavingMember struct {
	MemberID   string
	InstanceID *string
}

// LeaveGroupReply answers LeaveGroup, member by member in the order of the request. Code stands for the whole request. Versions 0 to 2 show Code, or else
// the first member's.
type LeaveGroupReply struct {
	Code    model.ErrorCode
	Members []LeftMember
}

// LeftMember is the outcome for one member of a LeaveGroup.
type LeftMember struct {
	MemberID   string
	InstanceID *string
	Code       model.ErrorCode
}

// OffsetCommit stores offsets; the answer is an OffsetCommitReply. A commit from outside a group's members has Generation -1, no member and no instance.
type OffsetCommit struct {
	Version     int16 // of the request: 9 and above know GROUP_ID_NOT_FOUND
	Group       string
	Generation  int32
	MemberID    string
	InstanceID  *string
	RetentionMs int64 // versions 2 to 4 may ask for a retention of their own; -1 for the broker's
	Topics      []CommitTopic
}

// CommitTopic is one topic of an OffsetCommit. TopicID is zero when unknown.
type CommitTopic struct {
	Name       string
	TopicID    model.TopicID
	Partitions []CommitPartition
}

// CommitPartition is one partition of an OffsetCommit.
type CommitPartition struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32  // -1 when unknown
	Metadata    string // empty for null
}

// OffsetCommitReply answers OffsetCommit. Code is what refused the whole request; it then stands on every partition too.
type OffsetCommitReply struct {
	Code   model.ErrorCode
	Topics []PartitionCodes
}

// PartitionCodes is the outcome for each requested partition of a topic, in the order of the request.
type PartitionCodes struct {
	Name       string
	TopicID    model.TopicID
	Partitions []PartitionCode
}

// PartitionCode is the outcome for one partition.
type PartitionCode struct {
	Partition int32
	Code      model.ErrorCode
}

// OffsetFetch reads committed offsets; the answer is an OffsetFetchReply.
type OffsetFetch struct {
	Group  string
	Topics []FetchTopic // nil asks for everything the group has committed
	// RequireStable asks for UNSTABLE_OFFSET_COMMIT where a transaction may still change the offset. Offsets are not committed by transactions yet, so
	// every offset is stable.
	RequireStable bool
}

// FetchTopic is one topic of an OffsetFetch. An offset that was committed for another topic id is not given; a zero TopicID fits all.
type FetchTopic struct {
	Name       string
	TopicID    model.TopicID
	Partitions []int32
}

// OffsetFetchReply answers OffsetFetch: the requested partitions in their order, or all in the order of their names. A group that does not exist has
// committed nothing, which is no error.
type OffsetFetchReply struct {
	Topics []FetchedTopic
}

// FetchedTopic is one topic of an OffsetFetchReply. TopicID is the one of the request, or, when everything was asked for, zero: names count.
type FetchedTopic struct {
	Name       string
	TopicID    model.TopicID
	Partitions []FetchedPartition
}

// FetchedPartition is a committed offset; -1, epoch -1 and no metadata where there is none.
type FetchedPartition struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32
	Metadata    string
	Code        model.ErrorCode
}

// OffsetDelete removes committed offsets; the answer is an OffsetDeleteReply.
type OffsetDelete struct {
	Group  string
	Topics []DeleteTopic
}

// DeleteTopic is one topic of an OffsetDelete.
type DeleteTopic struct {
	Name       string
	Partitions []int32
}

// OffsetDeleteReply answers OffsetDelete. With a Code, Topics is empty.
type OffsetDeleteReply struct {
	Code   model.ErrorCode
	Topics []PartitionCodes
}

// DescribeGroup shows one group; the answer is a DescribeGroupReply.
type DescribeGroup struct {
	Version int16 // of the request: 6 and above answer GROUP_ID_NOT_FOUND where older ones show a Dead group
	Group   string
}

// DescribeGroupReply answers DescribeGroup. Protocol and the members' Metadata are shown while the group is Stable.
type DescribeGroupReply struct {
	Code         model.ErrorCode
	Message      string // empty for none
	Group        string
	State        string
	ProtocolType string
	Protocol     string
	Members      []DescribedMember
}

// DescribedMember is one member of a described group.
type DescribedMember struct {
	MemberID   string
	InstanceID *string
	ClientID   string
	ClientHost string
	Metadata   []byte
	Assignment []byte
}

// ListGroups lists the groups of this machine; the answer is a ListGroupsReply. Filters compare without regard to case; an empty filter takes all.
type ListGroups struct {
	States []string
	Types  []string
}

// ListGroupsReply answers ListGroups, in the order of the names.
type ListGroupsReply struct {
	Groups []ListedGroup
}

// ListedGroup is one group of a list.
type ListedGroup struct {
	Group        string
	ProtocolType string
	State        string
	Type         string
}

// DeleteGroup removes one group that has no members, with its offsets; the answer is a DeleteGroupReply.
type DeleteGroup struct {
	Group string
}

// DeleteGroupReply answers DeleteGroup.
type DeleteGroupReply struct {
	Code model.ErrorCode
}

// TopicDeleted tells that a topic is gone, so that its offsets go too, unless they are known to belong to another topic of that name; the answer, given when
// all are gone, is a TopicDeletedReply.
type TopicDeleted struct {
	Name string
	ID   model.TopicID
}

// TopicDeletedReply answers TopicDeleted.
type TopicDeletedReply struct {
	Removed int // offsets
}

// TopicsKnown tells which topics there are, once the log is loaded: offsets of all others belong to topics that were deleted while nobody, or a coordinator that died,
// was there to hear of it. They go as with TopicDeleted; the answer, given at once, is a TopicsKnownReply.
type TopicsKnown struct {
	// ID returns the id of a topic, false when there is none of that name.
	ID func(name string) (model.TopicID, bool)
}

// TopicsKnownReply answers TopicsKnown.
type TopicsKnownReply struct {
	Gone int // topics whose offsets are being removed
}

// Stats asks for figures; the answer is a StatsReply.
type Stats struct{}

// StatsReply answers Stats.
type StatsReply struct {
	Groups  map[string]int // by state
	Members int
	Offsets int
	Skipped Skipped
}
