package wire

import "math"

// The keys that the wire itself treats specially.
const (
	KeyProduce            int16 = 0
	KeyFetch              int16 = 1
	KeyApiVersions        int16 = 18
	keyControlledShutdown int16 = 7
)

// NeverFlexible is the FlexibleFrom of an API without flexible versions.
const NeverFlexible int16 = math.MaxInt16

// API describes one API of the protocol.
type API struct {
	Key  int16
	Name string // the protocol's own name, as in "InitProducerId"

	// Min and Max are the versions whose requests Check and Decode know; Min is always 0, also where Kafka 4 refuses old versions.
	Min, Max int16
	// FlexibleFrom is the first version whose request and response are flexible (KIP-482), or NeverFlexible.
	FlexibleFrom int16

	// AdvertisedMin and AdvertisedMax are what a broker of Apache Kafka 4.4 shows in ApiVersions on a broker listener; both are -1 where it
	// shows nothing. It advertises Produce from 0 (KAFKA-18659) but serves it from 3.
	AdvertisedMin, AdvertisedMax int16
}

// Flexible tells whether that version is flexible.
func (a *API) Flexible(version int16) bool { return version >= a.FlexibleFrom }

// Advertised tells whether Apache Kafka 4.4 shows the API in ApiVersions on a broker listener.
func (a *API) Advertised() bool { return a.AdvertisedMax >= 0 }

// MaxKey is the highest API key that is known.
const MaxKey int16 = 94

// Info returns the description of an API, and false for an unknown key. The description is shared and read-only.
func Info(key int16) (*API, bool) {
	if key < 0 || key > MaxKey {
		return nil, false
	}
	return &apis[key], true
}

// Name returns the name of an API, "" for an unknown key.
func Name(key int16) string {
	if a, ok := Info(key); ok {
		return a.Name
	}
	return ""
}

// APIs returns the descriptions of all APIs in the order of their keys; read-only.
func APIs() []API { return apis[:] }

// apis has one row for each key: name, newest version, first flexible version, what Apache Kafka 4.4 advertises.
var apis = [MaxKey + 1]API{
	{0, "Produce", 0, 13, 9, 0, 13},
	{1, "Fetch", 0, 18, 12, 4, 18},
	{2, "ListOffsets", 0, 11, 6, 1, 11},
	{3, "Metadata", 0, 13, 9, 0, 13},
	{4, "LeaderAndIsr", 0, 7, 4, -1, -1},
	{5, "StopReplica", 0, 4, 2, -1, -1},
	{6, "UpdateMetadata", 0, 8, 6, -1, -1},
	{7, "ControlledShutdown", 0, 3, 3, -1, -1},
	{8, "OffsetCommit", 0, 10, 8, 2, 10},
	{9, "OffsetFetch", 0, 10, 6, 1, 10},
	{10, "FindCoordinator", 0, 6, 3, 0, 6},
	{11, "JoinGroup", 0, 9, 6, 0, 9},
	{12, "Heartbeat", 0, 4, 4, 0, 4},
	{13, "LeaveGroup", 0, 5, 4, 0, 5},
	{14, "SyncGroup", 0, 5, 4, 0, 5},
	{15, "DescribeGroups", 0, 6, 5, 0, 6},
	{16, "ListGroups", 0, 5, 3, 0, 5},
	{17, "SaslHandshake", 0, 1, NeverFlexible, 0, 1},
	{18, "ApiVersions", 0, 5, 3, 0, 5},
	{19, "CreateTopics", 0, 7, 5, 2, 7},
	{20, "DeleteTopics", 0, 6, 4, 1, 6},
	{21, "DeleteRecords", 0, 2, 2, 0, 2},
	{22, "InitProducerId", 0, 5, 2, 0, 5},
	{23, "OffsetForLeaderEpoch", 0, 4, 4, 2, 4},
	{24, "AddPartitionsToTxn", 0, 5, 3, 0, 5},
	{25, "AddOffsetsToTxn", 0, 4, 3, 0, 4},
	{26, "EndTxn", 0, 5, 3, 0, 5},
	{27, "WriteTxnMarkers", 0, 2, 1, 1, 2},
	{28, "TxnOffsetCommit", 0, 6, 3, 0, 6},
	{29, "DescribeAcls", 0, 3, 2, 1, 3},
	{30, "CreateAcls", 0, 3, 2, 1, 3},
	{31, "DeleteAcls", 0, 3, 2, 1, 3},
	{32, "DescribeConfigs", 0, 4, 4, 1, 4},
	{33, "AlterConfigs", 0, 2, 2, 0, 2},
	{34, "AlterReplicaLogDirs", 0, 2, 2, 1, 2},
	{35, "DescribeLogDirs", 0, 5, 2, 1, 5},
	{36, "SaslAuthenticate", 0, 2, 2, 0, 2},
	{37, "CreatePartitions", 0, 3, 2, 0, 3},
	{38, "CreateDelegationToken", 0, 3, 2, 1, 3},
	{39, "RenewDelegationToken", 0, 2, 2, 1, 2},
	{40, "ExpireDelegationToken", 0, 2, 2, 1, 2},
	{41, "DescribeDelegationToken", 0, 3, 2, 1, 3},
	{42, "DeleteGroups", 0, 3, 2, 0, 3},
	{43, "ElectLeaders", 0, 2, 2, 0, 2},
	{44, "IncrementalAlterConfigs", 0, 1, 1, 0, 1},
	{45, "AlterPartitionReassignments", 0, 1, 0, 0, 1},
	{46, "ListPartitionReassignments", 0, 0, 0, 0, 0},
	{47, "OffsetDelete", 0, 0, NeverFlexible, 0, 0},
	{48, "DescribeClientQuotas", 0, 1, 1, 0, 1},
	{49, "AlterClientQuotas", 0, 1, 1, 0, 1},
	{50, "DescribeUserScramCredentials", 0, 0, 0, 0, 0},
	{51, "AlterUserScramCredentials", 0, 0, 0, 0, 0},
	{52, "Vote", 0, 2, 0, -1, -1},
	{53, "BeginQuorumEpoch", 0, 1, 1, -1, -1},
	{54, "EndQuorumEpoch", 0, 1, 1, -1, -1},
	{55, "DescribeQuorum", 0, 2, 0, 0, 2},
	{56, "AlterPartition", 0, 3, 0, -1, -1},
	{57, "UpdateFeatures", 0, 2, 0, 0, 2},
	{58, "Envelope", 0, 0, 0, -1, -1},
	{59, "FetchSnapshot", 0, 1, 0, -1, -1},
	{60, "DescribeCluster", 0, 2, 0, 0, 2},
	{61, "DescribeProducers", 0, 0, 0, 0, 0},
	{62, "BrokerRegistration", 0, 4, 0, -1, -1},
	{63, "BrokerHeartbeat", 0, 2, 0, -1, -1},
	{64, "UnregisterBroker", 0, 0, 0, 0, 0},
	{65, "DescribeTransactions", 0, 0, 0, 0, 0},
	{66, "ListTransactions", 0, 2, 0, 0, 2},
	{67, "AllocateProducerIds", 0, 0, 0, -1, -1},
	{68, "ConsumerGroupHeartbeat", 0, 1, 0, 0, 1},
	{69, "ConsumerGroupDescribe", 0, 1, 0, 0, 1},
	{70, "ControllerRegistration", 0, 0, 0, -1, -1},
	{71, "GetTelemetrySubscriptions", 0, 0, 0, -1, -1},
	{72, "PushTelemetry", 0, 0, 0, -1, -1},
	{73, "AssignReplicasToDirs", 0, 0, 0, -1, -1},
	{74, "ListConfigResources", 0, 1, 0, 0, 1},
	{75, "DescribeTopicPartitions", 0, 0, 0, 0, 0},
	{76, "ShareGroupHeartbeat", 0, 1, 0, 1, 1},
	{77, "ShareGroupDescribe", 0, 1, 0, 1, 1},
	{78, "ShareFetch", 0, 2, 0, 1, 2},
	{79, "ShareAcknowledge", 0, 2, 0, 1, 2},
	{80, "AddRaftVoter", 0, 1, 0, 0, 1},
	{81, "RemoveRaftVoter", 0, 0, 0, 0, 0},
	{82, "UpdateRaftVoter", 0, 0, 0, -1, -1},
	{83, "InitializeShareGroupState", 0, 0, 0, 0, 0},
	{84, "ReadShareGroupState", 0, 0, 0, 0, 0},
	{85, "WriteShareGroupState", 0, 1, 0, 0, 1},
	{86, "DeleteShareGroupState", 0, 0, 0, 0, 0},
	{87, "ReadShareGroupStateSummary", 0, 1, 0, 0, 1},
	{88, "StreamsGroupHeartbeat", 0, 1, 0, 0, 1},
	{89, "StreamsGroupDescribe", 0, 1, 0, 0, 1},
	{90, "DescribeShareGroupOffsets", 0, 1, 0, 0, 1},
	{91, "AlterShareGroupOffsets", 0, 0, 0, 0, 0},
	{92, "DeleteShareGroupOffsets", 0, 0, 0, 0, 0},
	{93, "StreamsGroupTopologyDescriptionUpdate", 0, 0, 0, 0, 0},
	{94, "UnregisterController", 0, 0, 0, 0, 0},
}
