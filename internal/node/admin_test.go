package node

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/metric"
	"github.com/ottla/ottla/internal/service/admin"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// TestAdminIsOffTheDataPath: with every sync of a topic's files held, and a produce that waits for it, the admin port says how the node is, and has every metric that
// the documentation promises.
func TestAdminIsOffTheDataPath(t *testing.T) {
	fs := vfs.NewFaulty(vfs.OS(), nil)
	n := openWith(t, t.TempDir(), Options{FS: fs, Version: "1.2.3"})
	defer stop(t, n)
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	mustProduce(t, c, "t", "synced")
	code(t, "fetch", fetch(t, c, "t", 0).ErrorCode, model.None)
	warmCoordinator(t, c, "g")
	gate := vfs.NewGate()
	defer gate.Open()
	fs.SetInjector(vfs.Rules{{Op: vfs.OpSync, Path: "*", Fault: vfs.Fault{Gate: gate}}})
	answered := make(chan int16, 1)
	waiting := dial(t, n)
	go func() { answered <- produce(t, waiting, "t", -1, batchOf(batch.Options{}, "held")).ErrorCode }()
	<-gate.Reached()

	get := func(path string) string {
		t.Helper()
		client := &http.Client{Timeout: 10 * time.Second}
		resp, err := client.Get("http://" + n.Addresses().Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", path, resp.StatusCode, err)
		}
		return string(body)
	}
	var h admin.Health
	if err := json.Unmarshal([]byte(get("/health")), &h); err != nil {
		t.Fatal(err)
	}
	if h.Status != "ok" || h.Version != "1.2.3" || len(h.Directories) != 1 || h.Directories[0].FreeBytes <= 0 || h.Directories[0].TotalBytes < h.Directories[0].FreeBytes {
		t.Errorf("health is %+v", h)
	}
	text := get("/metrics")
	rare := []*metric.Family{metric.CleanerSeconds, metric.DirProbeSeconds, metric.RottenOffsets} // nothing has been compacted, no disk was idle for long, and none is damaged
	for _, f := range metric.Catalog() {
		if !slices.Contains(rare, f) && !strings.Contains(text, "\n# TYPE "+f.Name+" "+f.Kind.String()+"\n") {
			t.Errorf("there is no %s", f.Name)
		}
	}
	select {
	case got := <-answered:
		t.Errorf("test not valid: the produce was answered with %d before its sync", got)
	default:
	}
	gate.Open()
	code(t, "the produce that waited", <-answered, model.None)
}
