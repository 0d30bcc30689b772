package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// Health is how a node is doing. Status follows from the rest and is filled in here.
type Health struct {
	Status      string      `json:"status"`
	NodeID      int32       `json:"node_id"`
	ClusterID   string      `json:"cluster_id"`
	Version     string      `json:"version"`
	Started     time.Time   `json:"started"`
	Phase       Phase       `json:"phase"`
	Recovery    Recovery    `json:"recovery"`
	Directories []Directory `json:"directories"`
	Partitions  Partitions  `json:"partitions"`
	Problems    []string    `json:"problems"` // what an operator should know, in sentences
}

// Phase is where a node is in its life.
type Phase string

const (
	Starting Phase = "starting" // logs are being recovered, nothing is served
	Serving  Phase = "serving"
	Stopping Phase = "stopping"
)

// Recovery tells how far the start has got. Directories come first: what a crash left in their journals is brought to the logs. How many logs there are is known after that.
type Recovery struct {
	DirectoriesDone  int `json:"directories_done"`
	DirectoriesTotal int `json:"directories_total"`
	LogsDone         int `json:"logs_done"`
	LogsTotal        int `json:"logs_total"`
}

// Directory is one log directory.
type Directory struct {
	Path       string `json:"path"`
	ID         string `json:"id"`
	Online     bool   `json:"online"`
	Error      string `json:"error,omitempty"` // why it is not
	Stalled    bool   `json:"stalled"`         // its disk does not answer at the moment
	Full       bool   `json:"full"`            // clients' records are refused for want of space
	Partitions int    `json:"partitions"`
	FreeBytes  int64  `json:"free_bytes"`
	TotalBytes int64  `json:"total_bytes"`
	// ReserveBytes is kept for the moment at which nothing else is left.
	ReserveBytes int64 `json:"reserve_bytes"`
	// LastScrub is when all sealed segments were last compared with their checksums.
	LastScrub *time.Time `json:"last_scrub,omitempty"`
	Rot       []Rot      `json:"rot,omitempty"`
}

// Rot is a range of offsets that cannot be read, because the disk has not kept it.
type Rot struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	File        string `json:"file"`
	Position    int64  `json:"position"`
	FirstOffset int64  `json:"first_offset"`
	LastOffset  int64  `json:"last_offset"`
	Reason      string `json:"reason"`
}

// Partitions counts the replicas on a node.
type Partitions struct {
	Total   int `json:"total"`
	Leading int `json:"leading"`
	Offline int `json:"offline"`
}

// The statuses of a node.
const (
	StatusOK       = "ok"
	StatusDegraded = "degraded" // serves, but not everything that it should
	StatusStarting = "starting"
	StatusStopping = "stopping"
	StatusFailed   = "failed" // no log directory is left
)

func (h *Health) status() string {
	online := 0
	for _, d := range h.Directories {
		if d.Online {
			online++
		}
	}
	switch {
	case h.Phase == Stopping:
		return StatusStopping
	case online == 0 && len(h.Directories) > 0:
		return StatusFailed
	case h.Phase != Serving:
		return StatusStarting
	case online < len(h.Directories) || h.Partitions.Offline > 0 || len(h.Problems) > 0:
		return StatusDegraded
	default:
		return StatusOK
	}
}

// health answers 200 while the node serves, also when degraded: taking a node away that serves most of what it has helps nobody.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	h := s.options.Health()
	h.Status = h.status()
	code := http.StatusServiceUnavailable
	if h.Status == StatusOK || h.Status == StatusDegraded {
		code = http.StatusOK
	}
	if h.Directories == nil {
		h.Directories = []Directory{}
	}
	if h.Problems == nil {
		h.Problems = []string{}
	}
	s.json(w, code, h)
}

func (s *Server) json(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.options.Logger.Error("an answer could not be encoded", "error", err)
		http.Error(w, "the answer could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // the peer has gone; nobody is left to be told
}
