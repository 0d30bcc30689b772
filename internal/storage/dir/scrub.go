package dir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// ScrubFile remembers how far the background check of the sealed segments has got, and what it found. It is a hint: a missing or damaged one makes the check begin anew.
const ScrubFile = "ottla.scrub"

// scrubVersion is the version of ScrubFile; see docs/format/directory.md.
const scrubVersion = 1

// Scrub is the state of the background check of a directory.
type Scrub struct {
	Version     int   `json:"version"`
	BeganMs     int64 `json:"began_ms"`     // of the present pass, or of the last
	CompletedMs int64 `json:"completed_ms"` // of the last pass that got to its end, 0 when none did
	// Log and Segment are the last that were looked at in the present pass; an empty Log means that none runs.
	Log     string     `json:"log,omitempty"`
	Segment int64      `json:"segment,omitempty"`
	Rot     []ScrubRot `json:"rot,omitempty"`
}

// ScrubRot is a damaged range of a segment's file.
type ScrubRot struct {
	Log      string `json:"log"`
	Segment  int64  `json:"segment"`
	Position int64  `json:"position"`
	Until    int64  `json:"until"`
	From     int64  `json:"first_offset"`
	To       int64  `json:"next_offset"`
	Reason   string `json:"reason"`
}

// ParseScrub reads a ScrubFile.
func ParseScrub(data []byte) (*Scrub, error) {
	s := &Scrub{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, err
	}
	if s.Version != scrubVersion {
		return nil, fmt.Errorf("version %d, want %d", s.Version, scrubVersion)
	}
	return s, nil
}

// ReadScrub reads what the directory at path remembers; the zero value when it remembers nothing that can be used.
func ReadScrub(fsys vfs.FS, path string) (Scrub, error) {
	data, err := vfs.ReadSmall(fsys, filepath.Join(path, ScrubFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Scrub{}, nil
	}
	if err != nil {
		return Scrub{}, err
	}
	if s, err := ParseScrub(data); err == nil {
		return *s, nil
	}
	return Scrub{}, nil
}

// WriteScrub replaces what the directory remembers.
func (d *Dir) WriteScrub(s Scrub) error {
	if err := d.Err(); err != nil {
		return err
	}
	s.Version = scrubVersion
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return replace(d.fs, d.path, file{ScrubFile, append(data, '\n')})
}
