package config

import (
	"slices"
)

// Source is where a value comes from, with its protocol number.
type Source int8

const (
	FromTopic          Source = 1
	FromBroker         Source = 2
	FromClusterDefault Source = 3
	FromStatic         Source = 4
	FromDefault        Source = 5
	FromLogger         Source = 6
	FromClientMetrics  Source = 7
	FromGroup          Source = 8
)

// Entry is one key as DescribeConfigs shows it. Value is nil when the key has none or is sensitive.
type Entry struct {
	Name          string
	Value         *string
	Source        Source
	ReadOnly      bool
	Sensitive     bool
	Synonyms      []Synonym // the places a value could come from, the one that counts first
	Type          Type
	Documentation string
}

// Synonym is one place that gives a key a value.
type Synonym struct {
	Name   string
	Value  *string
	Source Source
}

// DescribeNewTopic lists the configuration of a topic with the given overrides as CreateTopics answers it, in name order: as DescribeTopic does, but
// overrides are spelled as they were sent, and a value's source is the nearest of all broker keys that can give it.
func DescribeNewTopic(d *Dynamic, overrides map[string]string) []Entry {
	entries := DescribeTopic(d, overrides)
	for i := range entries {
		e := &entries[i]
		if text, own := overrides[e.Name]; own {
			e.Value = &text
			continue
		}
		if k := Lookup(BrokerResource, topicSynonyms[e.Name]); k != nil {
			if chain := d.chain(k.Synonyms, k.Sensitive()); len(chain) > 0 {
				e.Source = chain[0].Source
			}
		}
	}
	return entries
}

// DescribeTopic lists the configuration of a topic with the given overrides, in name order.
func DescribeTopic(d *Dynamic, overrides map[string]string) []Entry {
	kept, _ := sound(TopicResource, overrides)
	r := &topicReader{broker: d.reader, overrides: kept}
	keys := Keys(TopicResource)
	entries := make([]Entry, 0, len(keys))
	for _, k := range keys {
		_, own := kept[k.Name]
		if k.Hidden && !own {
			continue
		}
		e := entry(k, FromDefault)
		if text, ok := r.text(k); ok {
			e.Value = &text
		}
		if own {
			e.Synonyms = append(e.Synonyms, Synonym{k.Name, e.Value, FromTopic})
		}
		if synonym, found := topicSynonyms[k.Name]; found {
			e.Synonyms = append(e.Synonyms, d.synonyms(Lookup(BrokerResource, synonym), synonym)...)
		}
		entries = append(entries, e.sourced())
	}
	return entries
}

// DescribeGroup lists the configuration of a group with the given overrides, in name order.
func DescribeGroup(d *Dynamic, overrides map[string]string) []Entry {
	kept, _ := sound(GroupResource, overrides)
	r := &groupReader{broker: d.reader, overrides: kept}
	var entries []Entry
	for _, k := range Keys(GroupResource) {
		e := entry(k, FromDefault)
		if text, ok := r.text(k); ok {
			if _, bounded := groupBounds[k.Name]; bounded {
				text = decimal(r.number(k.Name))
			}
			e.Value = &text
		}
		if _, own := kept[k.Name]; own {
			e.Synonyms = append(e.Synonyms, Synonym{k.Name, e.Value, FromGroup})
		}
		if len(k.Synonyms) > 0 {
			e.Synonyms = append(e.Synonyms, d.synonyms(Lookup(BrokerResource, k.Synonyms[0]), k.Synonyms[0])...)
		} else if fallback, ok := k.Default(); ok {
			e.Synonyms = append(e.Synonyms, Synonym{k.Name, &fallback, FromDefault})
		}
		entries = append(entries, e.sourced())
	}
	return entries
}

// DescribeClientMetrics lists a client metrics subscription with the given overrides, in name order.
func DescribeClientMetrics(overrides map[string]string) []Entry {
	kept, _ := sound(ClientMetricsResource, overrides)
	var entries []Entry
	for _, k := range Keys(ClientMetricsResource) {
		e := entry(k, FromDefault)
		if text, own := kept[k.Name]; own {
			text = canonical(k, text)
			e.Value = &text
			e.Synonyms = []Synonym{{k.Name, e.Value, FromClientMetrics}}
		} else if fallback, ok := k.Default(); ok {
			e.Value = &fallback
		}
		entries = append(entries, e.sourced())
	}
	return entries
}

// DescribeLoggers lists the levels of the broker's loggers, in name order.
func DescribeLoggers(levels map[string]string) []Entry {
	var entries []Entry
	for _, name := range sortedKeys(levels) {
		entries = append(entries, Entry{Name: name, Value: new(levels[name]), Source: FromLogger})
	}
	return entries
}

// DescribeBroker lists the configuration of this broker, in name order: every key there is, and whatever else is set.
func DescribeBroker(d *Dynamic) []Entry {
	keys := Keys(BrokerResource)
	entries := make([]Entry, 0, len(keys))
	for _, k := range keys {
		if k.Hidden && !d.reader.has(k.Name) {
			continue
		}
		e := d.brokerEntry(k, k.Name)
		if k.Name == "broker.id" { // Kafka fills it in from node.id
			e.Value = new(decimal(int64(d.static.Broker.NodeID)))
		}
		entries = append(entries, e)
	}
	others := map[string]bool{}
	for _, layer := range d.reader.layers {
		for name := range layer {
			if Lookup(BrokerResource, name) == nil {
				others[name] = true
			}
		}
	}
	for _, name := range sortedKeys(others) {
		entries = append(entries, d.foreignEntry(name))
	}
	slices.SortStableFunc(entries, byName)
	return entries
}

// DescribeClusterDefault lists the cluster-wide default overrides of brokers, in name order: only what is set.
func DescribeClusterDefault(d *Dynamic) []Entry {
	defaults := d.reader.layers[1]
	var entries []Entry
	for _, name := range sortedKeys(defaults) {
		var e Entry
		if k := Lookup(BrokerResource, name); k != nil {
			e = d.brokerEntry(k, name)
			e.Value = new(canonical(k, defaults[name]))
		} else {
			e = d.foreignEntry(name)
		}
		if e.Sensitive {
			e.Value = nil
		}
		e.Synonyms = slices.DeleteFunc(e.Synonyms, func(s Synonym) bool { return s.Source != FromClusterDefault })
		entries = append(entries, e.sourced())
	}
	return entries
}

func byName(a, b Entry) int {
	if a.Name < b.Name {
		return -1
	}
	return 1
}

func (d *Dynamic) brokerEntry(k *Key, name string) Entry {
	e := entry(k, FromDefault)
	e.Name = name
	e.ReadOnly = k.Mode == ReadOnly
	if text, ok := d.reader.text(k); ok && !e.Sensitive {
		e.Value = new(canonical(k, text))
	}
	e.Synonyms = d.synonyms(k, name)
	return e.sourced()
}

// foreignEntry is a key that is set but not defined: one with a listener.name prefix, or one nobody knows, whose value may be a secret.
func (d *Dynamic) foreignEntry(name string) Entry {
	if parts := listenerKey.FindStringSubmatch(name); parts != nil {
		if k := Lookup(BrokerResource, parts[2]); k != nil {
			e := entry(k, FromDefault)
			e.Name, e.ReadOnly = name, k.Mode == ReadOnly
			for _, layer := range d.reader.layers {
				if text, found := layer[name]; found && !e.Sensitive {
					e.Value = new(text)
					break
				}
			}
			e.Synonyms = d.synonymsOf([]string{name, parts[2]}, name, e.Sensitive)
			return e.sourced()
		}
	}
	e := Entry{Name: name, Source: FromDefault, ReadOnly: true, Sensitive: true}
	e.Synonyms = d.synonymsOf([]string{name}, name, true)
	return e.sourced()
}

func entry(k *Key, source Source) Entry {
	return Entry{Name: k.Name, Source: source, Sensitive: k.Sensitive(), Type: k.Type, Documentation: k.Doc}
}

// sourced gives the entry the source of its first synonym.
func (e Entry) sourced() Entry {
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	return e
}

func (d *Dynamic) synonyms(k *Key, name string) []Synonym {
	return d.synonymsOf(k.Synonyms, name, k.Sensitive())
}

// synonymsOf lists who gives the chain of broker keys a value, layer by layer. As in Kafka the list begins where name itself first appears: hours
// that win over an unset log.retention.ms are not shown with it.
func (d *Dynamic) synonymsOf(chain []string, name string, sensitive bool) []Synonym {
	out := d.chain(chain, sensitive)
	at := slices.IndexFunc(out, func(s Synonym) bool { return s.Name == name })
	if at < 0 {
		return nil
	}
	return out[at:]
}

// chain lists everything that gives one of the keys a value, the one that counts first.
func (d *Dynamic) chain(keys []string, sensitive bool) []Synonym {
	var out []Synonym
	add := func(from Source, name, text string) {
		if sensitive {
			out = append(out, Synonym{name, nil, from})
			return
		}
		out = append(out, Synonym{name, &text, from})
	}
	for i, layer := range d.reader.layers {
		for _, n := range keys {
			if text, found := layer[n]; found {
				add([...]Source{FromBroker, FromClusterDefault, FromStatic}[i], n, text)
			}
		}
	}
	for _, n := range keys {
		if k := Lookup(BrokerResource, n); k != nil && !slices.Contains(dynamicOnly, n) {
			if fallback, ok := k.Default(); ok {
				add(FromDefault, n, fallback)
			}
		}
	}
	return out
}
