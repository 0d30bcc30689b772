package cli

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/node"
)

// screen is what a node says about itself when it serves.
type screen struct {
	addresses []string // NAME://host:port, as taken
	admin     string
	dataDirs  []string
	metadata  string // where the metadata log is, one of dataDirs or another
	settings  string
	clusterID string
	nodeID    int32
	took      time.Duration
	bootstrap string // where a client on this machine connects
	loopback  bool   // nobody else can
}

// announce prints the addresses, one a line, and unless quiet the first screen.
func (s *shell) announce(n *node.Node, static *config.Static, path string, quiet bool) error {
	view := screen{
		addresses: n.Addresses().All, admin: n.Addresses().Admin, settings: path, clusterID: n.ClusterID(), nodeID: static.Broker.NodeID, took: time.Since(s.started),
	}
	for _, dir := range static.Broker.LogDirs {
		view.dataDirs = append(view.dataDirs, absolute(dir))
	}
	view.metadata = absolute(static.Broker.MetadataLogDir)
	view.bootstrap, view.loopback = clientAddress(view.addresses, &static.Broker)
	if quiet {
		return view.writeAddresses(s.out)
	}
	return view.write(s.out)
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// clientAddress picks the address for a client on this machine: the first listener that is not for controllers, by its advertised name if it is bound to every
// interface; and whether all of them are on loopback.
func clientAddress(bound []string, broker *config.Broker) (address string, loopback bool) {
	loopback = true
	for _, entry := range bound {
		name, taken, _ := strings.Cut(entry, "://")
		if broker.Controls(name) {
			continue
		}
		at, err := netip.ParseAddrPort(taken)
		if err == nil {
			loopback = loopback && at.Addr().IsLoopback()
		}
		if address != "" {
			continue
		}
		address = taken
		if advertised, ok := broker.AdvertisedAt(name); ok && err == nil && at.Addr().IsUnspecified() {
			port := advertised.Port
			if port == 0 {
				port = int(at.Port())
			}
			address = net.JoinHostPort(advertised.Host, strconv.Itoa(port))
		}
	}
	return address, loopback
}

// writeAddresses is for programs: nothing else on stdout has this form.
func (v *screen) writeAddresses(w io.Writer) error {
	_, err := io.WriteString(w, strings.Join(v.addresses, "\n")+"\n")
	return err
}

func (v *screen) write(w io.Writer) error {
	if err := v.writeAddresses(w); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nOttla %s is serving, %s after its start.\n\n", buildVersion().Version, roundDuration(v.took))
	field := func(name, value string) { fmt.Fprintf(&b, "  %-10s %s\n", name, value) }
	for i, dir := range v.dataDirs {
		field([]string{"data", ""}[min(i, 1)], dir)
	}
	if !slices.Contains(v.dataDirs, v.metadata) {
		field("metadata", v.metadata)
	}
	field("kafka", v.bootstrap)
	if v.admin == "" {
		field("metrics", "off, ottla.admin.listener is empty")
	} else {
		field("metrics", "http://"+v.admin+"/metrics")
		field("health", "http://"+v.admin+"/health")
	}
	field("cluster", v.clusterID)
	field("node", strconv.Itoa(int(v.nodeID)))
	if v.settings == noFile {
		field("settings", "no file; `ottla serve --print-config` prints one with every key")
	} else {
		field("settings", v.settings)
	}
	v.writeNetwork(&b)
	v.writeSnippets(&b)
	b.WriteString("\nCtrl-C stops the node.\n\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (v *screen) writeNetwork(b *strings.Builder) {
	if !v.loopback {
		return
	}
	_, port, err := net.SplitHostPort(v.bootstrap)
	if err != nil {
		port = "9092"
	}
	fmt.Fprintf(b, `
Only programs on this machine can connect. To open it to a network that you trust (nothing is encrypted, nobody is asked for a password):

  ottla serve --override listeners=PLAINTEXT://:%[1]s --override advertised.listeners=PLAINTEXT://THIS-HOST:%[1]s
`, port)
}

// snippet is the least that produces in one language or tool.
type snippet struct{ name, lines string }

func (v *screen) writeSnippets(b *strings.Builder) {
	ottla := "ottla"
	if v.bootstrap != defaultBootstrap {
		ottla += " -b " + v.bootstrap
	}
	b.WriteString("\nUse it from\n\n")
	for _, s := range snippets(ottla, v.bootstrap) {
		fmt.Fprintf(b, "  %s\n", s.name)
		for line := range strings.SplitSeq(s.lines, "\n") {
			fmt.Fprintf(b, "    %s\n", line)
		}
	}
}

func snippets(ottla, bootstrap string) []snippet {
	return []snippet{
		{"the shell", fmt.Sprintf("echo hello | %[1]s produce greetings\n%[1]s consume greetings --from beginning", ottla)},
		{"Python (kafka-python)", fmt.Sprintf("from kafka import KafkaProducer\nproducer = KafkaProducer(bootstrap_servers=%q)\nproducer.send(\"greetings\", b\"hello\").get()", bootstrap)},
		{"Java (kafka-clients)", fmt.Sprintf("var p = new KafkaProducer<>(Map.<String, Object>of(\"bootstrap.servers\", %q), new StringSerializer(), new StringSerializer());\n"+
			"p.send(new ProducerRecord<>(\"greetings\", \"hello\")).get();", bootstrap)},
		{"Go (franz-go)", fmt.Sprintf("client, err := kgo.NewClient(kgo.SeedBrokers(%q), kgo.AllowAutoTopicCreation())\n"+
			"err = client.ProduceSync(ctx, &kgo.Record{Topic: \"greetings\", Value: []byte(\"hello\")}).FirstErr()", bootstrap)},
		{"Node (kafkajs)", fmt.Sprintf("const p = new Kafka({ brokers: ['%s'] }).producer(); await p.connect()\n"+
			"await p.send({ topic: 'greetings', messages: [{ value: 'hello' }] })", bootstrap)},
		{"C (librdkafka, by kcat)", fmt.Sprintf("echo hello | kcat -P -b %[1]s -t greetings\nkcat -C -b %[1]s -t greetings -e", bootstrap)},
	}
}

// roundDuration keeps three digits.
func roundDuration(d time.Duration) time.Duration {
	unit := time.Nanosecond
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
