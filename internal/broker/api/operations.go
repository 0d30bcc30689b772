package api

// noOperations is what a response says about authorized operations when it was not asked.
const noOperations = -1 << 31

// Kafka's numbers of access operations, as bits of an authorized-operations field.
const (
	opRead            = 1 << 3
	opWrite           = 1 << 4
	opCreate          = 1 << 5
	opDelete          = 1 << 6
	opAlter           = 1 << 7
	opDescribe        = 1 << 8
	opClusterAction   = 1 << 9
	opDescribeConfigs = 1 << 10
	opAlterConfigs    = 1 << 11
	opIdempotentWrite = 1 << 12
)

// Without an authorizer everyone may do everything that the resource knows.
const (
	topicOperations   int32 = opRead | opWrite | opCreate | opDescribe | opDelete | opAlter | opDescribeConfigs | opAlterConfigs
	groupOperations   int32 = opRead | opDescribe | opDelete | opDescribeConfigs | opAlterConfigs
	clusterOperations int32 = opCreate | opClusterAction | opDescribeConfigs | opAlterConfigs | opIdempotentWrite | opAlter | opDescribe
)

func operations(asked bool, all int32) int32 {
	if asked {
		return all
	}
	return noOperations
}
