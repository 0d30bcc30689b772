package node

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/machine/meta"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// filesBelow is the contents of every file below a directory, by name.
func filesBelow(t *testing.T, path string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		out[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// levelBatch is the batch that sets the metadata.version.
func levelBatch(level int16, offset int64, codec batch.Codec) []byte {
	var b batch.Builder
	b.Reset(batch.Options{Codec: codec})
	b.Append(0, nil, record.Append(nil, &record.FeatureLevelRecord{Name: "group.version", FeatureLevel: 1}, 0))
	b.Append(0, nil, record.Append(nil, &record.FeatureLevelRecord{Name: meta.MetadataVersion, FeatureLevel: level}, 0))
	out := b.Build()
	out.SetBaseOffset(offset)
	out.SetPartitionLeaderEpoch(1 << 20)
	return out
}

// TestRefusedLevelChangesNothing: a directory of a cluster at a metadata.version that this release does not know is left as it is, whether its log has it, a snapshot or what Kafka's formatting left.
func TestRefusedLevelChangesNothing(t *testing.T) {
	appended := func(levels ...int16) func(path string) error {
		return func(path string) error {
			f, err := os.OpenFile(filepath.Join(path, metadataPartition, "00000000000000000000.log"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			for i, level := range levels {
				_, failed := f.Write(levelBatch(level, 1000+int64(i), batch.None))
				err = errors.Join(err, failed)
			}
			return errors.Join(err, f.Close())
		}
	}
	for name, put := range map[string]func(path string) error{
		"the log with several": appended(20, 40, 34),
		"too old":              appended(6),
		"a compressed snapshot": func(path string) error {
			return os.WriteFile(filepath.Join(path, metadataPartition, fmt.Sprintf("%020d-%010d.checkpoint", 1<<30, 7)), levelBatch(40, 0, batch.Zstd), 0o640)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			stop(t, open(t, path))
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			refused(t, path)
		})
	}
	t.Run("formatted", func(t *testing.T) {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, "bootstrap.checkpoint"), levelBatch(40, 0, batch.None), 0o640); err != nil {
			t.Fatal(err)
		}
		refused(t, path)
	})
}

// refused starts a node, which must refuse to, and compares the directory.
func refused(t *testing.T, path string) {
	t.Helper()
	before := filesBelow(t, path)
	n, err := tryOpenWith(t, path, Options{})
	if err == nil {
		stop(t, n)
		t.Fatal("the node started")
	}
	if text := err.Error(); !strings.Contains(text, "metadata.version is") || !strings.Contains(text, path) || !strings.Contains(text, "kafka-features") {
		t.Errorf("the error is %q", text)
	}
	if after := filesBelow(t, path); !maps.Equal(before, after) {
		t.Error("the directory was changed")
	}
}
