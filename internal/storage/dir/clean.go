package dir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// cleanFile is Kafka's marker of a clean stop, with the broker epoch of the broker that stopped (KIP-966).
const cleanFile = ".kafka_cleanshutdown"

// NoBrokerEpoch is the epoch of a broker that was never registered, and of one that did not stop cleanly.
const NoBrokerEpoch = -1

type cleanMarker struct {
	Version     int   `json:"version"`
	BrokerEpoch int64 `json:"brokerEpoch"`
}

// takeMarker reads the marker and removes it durably, so that a crash from now on is seen as one. An unreadable marker is a clean stop of an unknown epoch.
// keep is for tests of the test harness.
func takeMarker(fsys vfs.FS, path string, keep bool) (clean bool, epoch int64, err error) {
	name := filepath.Join(path, cleanFile)
	data, err := vfs.ReadSmall(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, NoBrokerEpoch, nil
	}
	if err != nil {
		return false, NoBrokerEpoch, fmt.Errorf("read %s: %w", name, err)
	}
	marker := cleanMarker{BrokerEpoch: NoBrokerEpoch}
	if json.Unmarshal(data, &marker) != nil {
		marker.BrokerEpoch = NoBrokerEpoch
	}
	if keep {
		return true, marker.BrokerEpoch, nil
	}
	if err := fsys.Rename(name, filepath.Join(path, turnFile)); err != nil {
		return false, NoBrokerEpoch, fmt.Errorf("take %s: %w", name, err)
	}
	if err := fsys.SyncDir(path); err != nil {
		return false, NoBrokerEpoch, fmt.Errorf("sync directory %s: %w", path, err)
	}
	return true, marker.BrokerEpoch, nil
}

func writeMarker(fsys vfs.FS, path string, epoch int64) error {
	data, err := json.Marshal(cleanMarker{BrokerEpoch: epoch})
	if err != nil {
		return err
	}
	if err := replace(fsys, path, file{turnFile, data}); err != nil {
		return err
	}
	if err := fsys.Rename(filepath.Join(path, turnFile), filepath.Join(path, cleanFile)); err != nil {
		return fmt.Errorf("leave %s: %w", filepath.Join(path, cleanFile), err)
	}
	if err := fsys.SyncDir(path); err != nil {
		return &syncError{fmt.Errorf("sync directory %s: %w", path, err)}
	}
	return nil
}
