package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// saveProfiles takes a CPU profile of Ottla during a measurement, and the heap and allocations after it.
func saveProfiles(target *broker, dir, name string, p pace) error {
	admin, err := target.admin()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name = strings.ReplaceAll(strings.ToLower(name), " ", "-")
	seconds := max(1, int(p.measure.Seconds()))
	timer := time.NewTimer(p.warm + 200*time.Millisecond)
	<-timer.C
	for _, what := range []string{fmt.Sprintf("profile?seconds=%d", seconds), "allocs", "heap", "goroutine"} {
		kind, _, _ := strings.Cut(what, "?")
		if err := save("http://"+admin+"/debug/pprof/"+what, filepath.Join(dir, name+"-"+kind+".prof")); err != nil {
			return err
		}
	}
	return nil
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
