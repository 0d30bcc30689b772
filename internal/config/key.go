package config

// Resource is what a key belongs to, numbered as the Kafka protocol numbers config resources.
type Resource int8

const (
	TopicResource         Resource = 2
	BrokerResource        Resource = 4
	LoggerResource        Resource = 8
	ClientMetricsResource Resource = 16
	GroupResource         Resource = 32
)

func (r Resource) String() string {
	switch r {
	case TopicResource:
		return "topic"
	case BrokerResource:
		return "broker"
	case LoggerResource:
		return "broker logger"
	case ClientMetricsResource:
		return "client metrics"
	case GroupResource:
		return "group"
	}
	return "unknown"
}

// Importance is how much attention Kafka's documentation asks for a key.
type Importance uint8

const (
	Low Importance = iota
	Medium
	High
)

func (i Importance) String() string { return [...]string{"low", "medium", "high"}[i] }

// Mode says how a key changes while the node runs.
type Mode uint8

const (
	// ReadOnly keys are read at start and refuse alteration.
	ReadOnly Mode = iota
	// PerBroker keys change on one broker; the cluster-wide default refuses them.
	PerBroker
	// ClusterWide keys change on one broker or as the default of all.
	ClusterWide
)

func (m Mode) String() string { return [...]string{"read-only", "per-broker", "cluster-wide"}[m] }

// Effect is a key's honesty: it acts, or it has no effect and says why.
type Effect struct{ reason string }

// Acts is the effect of a key that does what it says.
var Acts = Effect{}

// NoEffect is the effect of a key that is accepted, checked, stored and shown, and changes nothing, for the given reason.
func NoEffect(reason string) Effect { return Effect{reason: reason} }

// Acts reports whether the key does what it says.
func (e Effect) Acts() bool { return e.reason == "" }

// Reason is why the key has no effect, or "".
func (e Effect) Reason() string { return e.reason }

// Key is the definition of one configuration key. Definitions are shared: never change one.
type Key struct {
	Name       string
	Resource   Resource
	Type       Type
	Importance Importance
	Mode       Mode
	Effect     Effect
	// Doc is what the key does, in one or two sentences, as DescribeConfigs tells it.
	Doc string
	// Synonyms are the broker keys that give the value when the resource itself has none, first match first. A broker key that is one of
	// several spellings (log.retention.ms, .minutes, .hours) lists all of them, itself included.
	Synonyms []string
	// Area is the title under which documents list the key.
	Area string
	// Hidden keys are accepted but not listed unless set, as Kafka's internal keys.
	Hidden bool

	fallback string // default as Kafka shows it, or null
	rule     rule   // nil: any value of the type
}

// null is the default of a key that has none.
const null = "\x00"

// Default returns the key's default as text, and false when it is null.
func (k *Key) Default() (string, bool) { return k.fallback, k.fallback != null }

// Allowed says in words which values the key takes.
func (k *Key) Allowed() string {
	if k.rule == nil {
		return k.Type.describe()
	}
	return k.rule.allowed()
}

// Sensitive reports whether the key's value must never be shown.
func (k *Key) Sensitive() bool { return k.Type == Password }

// Check parses text as a value of the key and returns it in Kafka's canonical spelling.
func (k *Key) Check(text string) (string, error) {
	v, err := k.parse(text)
	return v.text, err
}

func (k *Key) parse(text string) (value, error) {
	v, problem := k.Type.parse(text)
	if problem == "" && k.rule != nil {
		problem, text = k.rule.check(v), v.text // as Kafka, name the value that was understood
	}
	if problem != "" {
		return value{}, &Error{Key: k.Name, Value: text, Problem: problem, sensitive: k.Sensitive()}
	}
	return v, nil
}
