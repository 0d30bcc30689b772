package wire

import (
	"bytes"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Decode checks body and decodes it. The request shares no memory with body: strings are copied, and where the message has fields of
// bytes or tags that nobody knows, the whole body is copied first, so that they alias the copy.
func Decode(key, version int16, body []byte) (kmsg.Request, error) {
	if !defined(key, version) {
		return nil, &UnsupportedError{key, version}
	}
	_, aliases, err := requests[key].check(apis[key].Name, version, body)
	if err != nil {
		return nil, err
	}
	if aliases {
		body = bytes.Clone(body)
	}
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("decoding %s v%d after it passed the check: %w", Name(key), version, err)
	}
	return req, nil
}

// CheckSubscription is Check for the metadata that a consumer puts into JoinGroup, a version and a kmsg.ConsumerMemberMetadata.
// A version above the newest known one is read as that one, as Kafka does.
func CheckSubscription(blob []byte) (cost int, err error) {
	return subscription.checkEmbedded("consumer subscription", blob)
}

// CheckAssignment is Check for the assignment that a leader puts into SyncGroup, a version and a kmsg.ConsumerMemberAssignment.
func CheckAssignment(blob []byte) (cost int, err error) {
	return assignment.checkEmbedded("consumer assignment", blob)
}

// DecodeSubscription checks and decodes a consumer's metadata. UserData aliases blob.
func DecodeSubscription(blob []byte) (kmsg.ConsumerMemberMetadata, error) {
	m := kmsg.NewConsumerMemberMetadata()
	if _, err := CheckSubscription(blob); err != nil {
		return m, err
	}
	if err := m.ReadFrom(blob); err != nil {
		return m, fmt.Errorf("decoding a consumer's subscription after it passed the check: %w", err)
	}
	return m, nil
}

// DecodeAssignment checks and decodes a consumer's assignment. UserData aliases blob.
func DecodeAssignment(blob []byte) (kmsg.ConsumerMemberAssignment, error) {
	m := kmsg.NewConsumerMemberAssignment()
	if _, err := CheckAssignment(blob); err != nil {
		return m, err
	}
	if err := m.ReadFrom(blob); err != nil {
		return m, fmt.Errorf("decoding a consumer's assignment after it passed the check: %w", err)
	}
	return m, nil
}

// checkEmbedded checks a message that begins with its own version.
func (m *root) checkEmbedded(name string, blob []byte) (cost int, err error) {
	r := reader{buf: blob}
	version := r.int16()
	if r.failed {
		return 0, &MalformedError{Message: name, Field: "Version", Reason: reasonShort}
	}
	if version < 0 {
		return 0, &MalformedError{Message: name, Version: version, Field: "Version", Reason: reasonVersion}
	}
	walked, _, err := m.check(name, min(version, m.max), blob)
	return bounded(walked), err
}
