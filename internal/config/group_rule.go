package config

import (
	"regexp"
	"slices"
	"strings"
)

var durationPattern = regexp.MustCompile(`^P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d{1,9})?S)?)?$`)

// offsetReset is the rule of share.auto.offset.reset.
var offsetReset = checked{"latest, earliest or by_duration:PnDTnHnMn.nS", func(v value) string {
	if v.text == "latest" || v.text == "earliest" {
		return ""
	}
	if duration, found := strings.CutPrefix(v.text, "by_duration:"); found && durationPattern.MatchString(duration) && strings.ContainsAny(duration, "0123456789") {
		return ""
	}
	return "Value must be latest, earliest or by_duration:PnDTnHnMn.nS"
}}

var matchAttributes = []string{
	"client_id", "client_instance_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port",
}

// matchList is the rule of a client metrics subscription's match.
var matchList = checked{"a list of attribute=pattern, where attribute is " + strings.Join(matchAttributes, ", "), func(v value) string {
	if problem := distinct.check(v); problem != "" {
		return problem
	}
	for _, entry := range v.list {
		attribute, pattern, found := strings.Cut(entry, "=")
		if !found || strings.Contains(pattern, "=") || !slices.Contains(matchAttributes, strings.TrimSpace(attribute)) {
			return "Illegal client matching pattern: " + entry
		}
		if _, err := regexp.Compile(strings.TrimSpace(pattern)); err != nil {
			return "Illegal client matching pattern: " + entry
		}
	}
	return ""
}}
