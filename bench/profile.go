package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// saveProfiles takes a CPU profile of Ottla during a measurement, and the heap and allocations after it. What the CPU profile says stands beside it as text, for the notes on
// goals to point at.
func saveProfiles(target *broker, dir, name string, p pace) error {
	admin, err := target.admin()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name = strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(name))
	seconds := max(1, int(p.measure.Seconds()))
	timer := time.NewTimer(p.warm + 200*time.Millisecond)
	<-timer.C
	path := func(kind string) string { return filepath.Join(dir, name+"-"+kind+".prof") }
	for _, what := range []string{fmt.Sprintf("profile?seconds=%d", seconds), "allocs", "heap", "goroutine"} {
		kind, _, _ := strings.Cut(what, "?")
		if err := save("http://"+admin+"/debug/pprof/"+what, path(kind)); err != nil {
			return err
		}
	}
	text, err := exec.Command("go", "tool", "pprof", "-top", "-cum", "-nodecount=60", path("profile")).Output()
	if err != nil {
		return fmt.Errorf("read the CPU profile: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, name+".txt"), text, 0o644)
}

func save(url, path string) error {
	client := http.Client{Timeout: 2 * time.Minute}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, response.Body); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
