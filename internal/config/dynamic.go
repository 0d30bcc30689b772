package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ConnectionLimits bound the connections of the node or of one listener; math.MaxInt32 is Kafka's "no limit".
type ConnectionLimits struct {
	MaxConnections            int
	MaxConnectionCreationRate int // per second
}

// Cleaner is how logs are compacted: the keys log.cleaner.*.
type Cleaner struct {
	Enable            bool
	Threads           int // logs cleaned at the same time
	DedupeBytes       int64
	LoadFactor        float64
	BufferBytes       int // over all threads, as DedupeBytes
	MaxBytesPerSecond float64
	Backoff           time.Duration
}

func (r *reader) cleaner() Cleaner {
	load, _ := r.value("log.cleaner.io.buffer.load.factor", Double)
	rate, _ := r.value("log.cleaner.io.max.bytes.per.second", Double)
	return Cleaner{
		Enable: r.flag("log.cleaner.enable"), Threads: r.int("log.cleaner.threads"), DedupeBytes: r.number("log.cleaner.dedupe.buffer.size"), LoadFactor: load.real,
		BufferBytes: r.int("log.cleaner.io.buffer.size"), MaxBytesPerSecond: rate.real, Backoff: r.millis("log.cleaner.backoff.ms"),
	}
}

// Scrub is how fast and how often sealed segments are compared with their checksums: the keys ottla.scrub.*.
type Scrub struct {
	BytesPerSecond int64 // of one log directory; 0: not at all
	Interval       time.Duration
}

// Dynamic holds the values that can change while the node runs, as they are now. It is immutable: its owner makes a new one with ResolveBroker
// when an override changes and swaps a pointer.
type Dynamic struct {
	// Topic is the configuration of a topic without overrides.
	Topic *Topic

	Connections          ConnectionLimits            // of the node
	ListenerConnections  map[string]ConnectionLimits // by listener name, where one has limits of its own
	MaxConnectionsPerIP  int
	ConnectionsPerIP     map[string]int // exceptions, by address or host name
	ProducerIDExpiration time.Duration

	Cleaner Cleaner
	Scrub   Scrub

	static *Static
	reader *reader
}

// ResolveBroker makes the dynamic values from the start's configuration, the cluster-wide default overrides and this broker's own, in that order.
// Overrides that are wrong, which a stored record of another version may be, are skipped and named in the error; the result is usable all the same.
func ResolveBroker(s *Static, clusterDefaults, brokerOverrides map[string]string) (*Dynamic, error) {
	var faults Errors
	r := s.reader()
	r.layers[0] = soundBroker(brokerOverrides, true, &faults)
	r.layers[1] = soundBroker(clusterDefaults, false, &faults)
	var together Errors
	if checkTogether(r, &together); len(together) > 0 {
		// Values that do not go together cannot be blamed on one key: all overrides stand back.
		faults = append(faults, together...)
		r.layers[0], r.layers[1] = nil, nil
	}
	d := &Dynamic{static: s, reader: r, ListenerConnections: map[string]ConnectionLimits{}, ConnectionsPerIP: map[string]int{}}
	d.Topic = (&topicReader{broker: r}).topic()
	d.Connections = ConnectionLimits{r.int("max.connections"), r.int("max.connection.creation.rate")}
	d.MaxConnectionsPerIP = r.int("max.connections.per.ip")
	pairs, _ := splitPairs(r.string("max.connections.per.ip.overrides"))
	for _, pair := range pairs {
		d.ConnectionsPerIP[pair[0]] = parsedInt(pair[1])
	}
	d.ProducerIDExpiration = r.millis("producer.id.expiration.ms")
	d.Cleaner = r.cleaner()
	d.Scrub = Scrub{r.number("ottla.scrub.bytes.per.second"), r.millis("ottla.scrub.interval.ms")}
	d.readListenerLimits()
	return d, faults.orNil()
}

// readListenerLimits reads listener.name.X.max.connections and .max.connection.creation.rate from the lowest layer up.
func (d *Dynamic) readListenerLimits() {
	for _, layer := range slices.Backward(d.reader.layers[:]) {
		for _, key := range sortedKeys(layer) {
			parts := listenerKey.FindStringSubmatch(key)
			if parts == nil || !slices.Contains(listenerLimits, parts[2]) {
				continue
			}
			name := strings.ToUpper(parts[1])
			limits, found := d.ListenerConnections[name]
			if !found {
				limits = ConnectionLimits{1<<31 - 1, 1<<31 - 1}
			}
			if n := parsedInt(strings.TrimSpace(layer[key])); parts[2] == "max.connections" {
				limits.MaxConnections = n
			} else {
				limits.MaxConnectionCreationRate = n
			}
			d.ListenerConnections[name] = limits
		}
	}
}

// TopicWith makes the configuration of a topic with overrides; without any it is the shared d.Topic. Overrides that are wrong are skipped and
// named in the error; the result is usable all the same.
func (d *Dynamic) TopicWith(overrides map[string]string) (*Topic, error) {
	if len(overrides) == 0 {
		return d.Topic, nil
	}
	sound, faults := sound(TopicResource, overrides)
	return (&topicReader{broker: d.reader, overrides: sound}).topic(), faults.orNil()
}

// ResolveTopic makes the configuration of one topic from all four sources. Who resolves many topics keeps the Dynamic and calls TopicWith.
func ResolveTopic(s *Static, clusterDefaults, brokerOverrides, topicOverrides map[string]string) (*Topic, error) {
	d, brokerErr := ResolveBroker(s, clusterDefaults, brokerOverrides)
	t, err := d.TopicWith(topicOverrides)
	var faults Errors
	faults.addAll(brokerErr)
	faults.addAll(err)
	return t, faults.orNil()
}

// sound keeps the overrides that are known and right.
func sound(resource Resource, overrides map[string]string) (map[string]string, Errors) {
	var faults Errors
	kept := maps.Clone(overrides)
	for _, name := range sortedKeys(overrides) {
		k := Lookup(resource, name)
		if k == nil {
			faults = append(faults, refusal(name, "Unknown %s config name: %s", resource, name))
			delete(kept, name)
			continue
		}
		if _, err := k.Check(overrides[name]); err != nil {
			faults.add(err)
			delete(kept, name)
		}
	}
	return kept, faults
}

// soundBroker keeps the broker overrides that may be changed and are right. Keys nobody knows are kept: Kafka stores them for plugins.
func soundBroker(overrides map[string]string, perBroker bool, faults *Errors) map[string]string {
	kept := maps.Clone(overrides)
	for _, name := range sortedKeys(overrides) {
		if err := ValidateBroker(name, overrides[name], perBroker); err != nil {
			faults.add(err)
			delete(kept, name)
		}
	}
	return kept
}

func (list *Errors) addAll(err error) {
	if many, ok := err.(Errors); ok {
		*list = append(*list, many...)
		return
	}
	list.add(err)
}

func canonical(k *Key, text string) string {
	v, err := k.parse(text)
	if err != nil {
		panic("BUG: an unchecked value reached the configuration: " + err.Error())
	}
	return v.text
}

// inMillis turns the value of a broker key in hours or minutes into milliseconds. Every negative retention means for ever.
func inMillis(name, text string) string {
	if name == "log.retention.ms" && strings.HasPrefix(text, "-") {
		return "-1"
	}
	unit, found := millisPer[name]
	if !found {
		return text
	}
	n := int64(parsedInt(text))
	if n < 0 {
		return "-1"
	}
	return strconv.FormatInt(n*unit, 10)
}

// parsedInt is the number in a text whose rule has already made sure that it is one.
func parsedInt(text string) int {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic("BUG: an unchecked number reached the configuration: " + err.Error())
	}
	return int(n)
}
