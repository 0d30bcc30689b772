package admin

import (
	"cmp"
	"net/http"
	"slices"
)

// Setting is one key of the configuration in force. Value is nil when it has none; a sensitive one is not shown.
type Setting struct {
	Name      string  `json:"name"`
	Value     *string `json:"value"`
	Source    string  `json:"source"` // where the value comes from, as in DescribeConfigs
	ReadOnly  bool    `json:"read_only"`
	Sensitive bool    `json:"sensitive"`
}

// masked stands for a sensitive value that is set.
const masked = "[hidden]"

func (s *Server) config(w http.ResponseWriter, _ *http.Request) {
	settings := slices.Clone(s.options.Config())
	slices.SortStableFunc(settings, func(a, b Setting) int { return cmp.Compare(a.Name, b.Name) })
	for i := range settings {
		if settings[i].Sensitive && settings[i].Value != nil {
			settings[i].Value = new(masked)
		}
	}
	if settings == nil {
		settings = []Setting{}
	}
	s.json(w, http.StatusOK, settings)
}
