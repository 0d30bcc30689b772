package group

// subscription adds the topics of a consumer's subscription to topics. Every version of it begins as version 0 does: a version and an array of names. What
// cannot be read is told by false.
func subscription(data []byte, topics map[string]bool) bool {
	r := reader{rest: data}
	if version := r.int16(); version < 0 {
		return false
	}
	for range r.count(false, 2) {
		if name := r.str(false); r.err == nil {
			topics[string(name)] = true
		}
	}
	return r.err == nil
}
