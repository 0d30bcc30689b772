package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// options are the flags.
type options struct {
	a, b  string
	only  *regexp.Regexp
	text  bool
	all   bool
	hold  bool
	shown bool
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	var o options
	only := flag.String("only", "", "run scenarios whose name this expression matches")
	flag.StringVar(&o.a, "a", "", "host:port of a running Apache Kafka 4.4; empty starts one from .clients")
	flag.StringVar(&o.b, "b", "", "host:port of a running Ottla; empty builds and starts one")
	flag.BoolVar(&o.text, "text", false, "compare error messages word for word")
	flag.BoolVar(&o.all, "all", false, "print the differences that have a reason, too")
	flag.BoolVar(&o.hold, "hold", false, "keep the nodes running and print their addresses")
	flag.BoolVar(&o.shown, "show", false, "print every answer of the control")
	flag.Parse()
	if o.only, err = regexp.Compile(*only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	scratch, err := os.MkdirTemp("", "parity-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	root, err := repository()
	if err != nil {
		return err
	}
	for _, n := range []struct {
		address *string
		start   func(context.Context, string, string) (*process, error)
	}{{&o.a, startKafka}, {&o.b, startOttla}} {
		if *n.address != "" {
			continue
		}
		p, startErr := n.start(ctx, root, scratch)
		defer func() { err = errors.Join(err, p.stop()) }()
		if startErr != nil {
			return startErr
		}
		*n.address = p.address
	}
	if o.hold {
		fmt.Println("-a", o.a, "-b", o.b)
		<-ctx.Done()
		return nil
	}
	return judge(o, filepath.Join(root, "test", "parity", "differences.txt"))
}

// repository finds the directory with go.mod.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("run this inside the repository")
}

// meet asks a node who it is and what it serves.
func meet(name, address string, text bool) (*side, error) {
	s := &side{name: name, address: address, renderer: renderer{names: map[string]string{}, text: text}, ranges: map[int16][2]int16{}, conns: map[string]*conn{}}
	defer s.close()
	versions := s.at(0, "", kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse)
	for _, k := range versions.ApiKeys {
		s.ranges[k.ApiKey] = [2]int16{max(k.MinVersion, map[int16]int16{0: 3}[k.ApiKey]), k.MaxVersion}
	}
	none := kmsg.NewPtrMetadataRequest()
	none.Topics = []kmsg.MetadataRequestTopic{}
	who := s.at(12, "", none).(*kmsg.MetadataResponse)
	if err := errors.Join(s.errs...); err != nil {
		return nil, fmt.Errorf("%s at %s: %w", name, address, err)
	}
	if who.ClusterID == nil || len(who.Brokers) != 1 {
		return nil, fmt.Errorf("%s at %s is not one node: %+v", name, address, who)
	}
	s.learn(*who.ClusterID, "<cluster>")
	s.learn(fmt.Sprint(who.Brokers[0].Port), "<port>")
	return s, nil
}

// judge runs the scenarios and prints what differs without a reason.
func judge(o options, file string) error {
	reasons, err := readReasons(file)
	if err != nil {
		return err
	}
	a, err := meet("kafka", o.a, o.text)
	if err != nil {
		return err
	}
	b, err := meet("ottla", o.b, o.text)
	if err != nil {
		return err
	}
	a.ranges = common(a.ranges, b.ranges)
	b.ranges = a.ranges
	steps, found, unmeant := 0, 0, 0
	var failed []error
	for _, sc := range scenarios {
		if !o.only.MatchString(sc.name) {
			continue
		}
		fa, fb := a.fork(sc.name), b.fork(sc.name)
		var both sync.WaitGroup
		both.Go(func() { sc.run(fa) })
		both.Go(func() { sc.run(fb) })
		both.Wait()
		fa.close()
		fb.close()
		if o.shown {
			show(sc.name, fa)
		}
		lines, err := compare(sc.name, fa, fb)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		steps += len(fa.results)
		for _, l := range lines {
			found++
			ok := meant(reasons, l)
			if !ok {
				unmeant++
				fmt.Println(l)
			} else if o.all {
				fmt.Println("meant:", l)
			}
		}
	}
	fmt.Printf("%d answers compared, %d differences, %d without a reason\n", steps, found, unmeant)
	if unmeant > 0 {
		failed = append(failed, fmt.Errorf("%d differences without a reason in %s", unmeant, file))
	}
	if o.only.String() == "" && !o.text {
		for _, r := range reasons {
			if !r.used {
				failed = append(failed, fmt.Errorf("%s:%d: no difference needs this entry any more", file, r.line))
			}
		}
	}
	return errors.Join(failed...)
}

// common are the versions that both sides serve.
func common(a, b map[int16][2]int16) map[int16][2]int16 {
	out := map[int16][2]int16{}
	for k, ra := range a {
		if rb, ok := b[k]; ok {
			out[k] = [2]int16{max(ra[0], rb[0]), min(ra[1], rb[1])}
		}
	}
	return out
}

func show(scenario string, s *side) {
	for _, r := range s.results {
		fmt.Println(scenario, r.step, "v", r.version)
		for _, path := range slices.Sorted(maps.Keys(r.facts)) {
			fmt.Printf("    %s = %s\n", path, r.facts[path])
		}
	}
}
