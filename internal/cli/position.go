package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A place in a partition, as a person names it.
type position struct {
	anchor anchor
	offset int64 // of atOffset
	shift  int64 // of atStart and atEnd
	millis int64 // of atTime
}

type anchor int

const (
	atStart anchor = iota
	atEnd
	atOffset
	atTime
)

const positionForms = "beginning, beginning+N, end, end-N, an OFFSET, or a timestamp: @MILLISECONDS, 2006-01-02T15:04:05Z, 2006-01-02, or -1h for an hour ago"

// parsePosition reads one of positionForms.
func parsePosition(text string, now time.Time) (position, error) {
	for _, named := range []struct {
		word   string
		anchor anchor
	}{{"beginning", atStart}, {"earliest", atStart}, {"end", atEnd}, {"latest", atEnd}} {
		rest, ok := strings.CutPrefix(text, named.word)
		if !ok {
			continue
		}
		if rest == "" {
			return position{anchor: named.anchor}, nil
		}
		shift, err := strconv.ParseInt(rest, 10, 64)
		if err != nil || rest[0] != '+' && rest[0] != '-' || (shift < 0) != (named.anchor == atEnd) {
			break
		}
		return position{anchor: named.anchor, shift: shift}, nil
	}
	if offset, err := strconv.ParseInt(text, 10, 64); err == nil && offset >= 0 {
		return position{anchor: atOffset, offset: offset}, nil
	}
	if millis, err := parseTimestamp(text, now); err == nil {
		return position{anchor: atTime, millis: millis}, nil
	}
	return position{}, fmt.Errorf("%q is no position: it is %s", text, positionForms)
}

// parseTimestamp reads a point in time as milliseconds since 1970: @MILLISECONDS, a date with or without time of day (local without a zone), or how long ago.
func parseTimestamp(text string, now time.Time) (int64, error) {
	if digits, ok := strings.CutPrefix(text, "@"); ok {
		if millis, err := strconv.ParseInt(digits, 10, 64); err == nil && millis >= 0 {
			return millis, nil
		}
	}
	if ago, ok := strings.CutPrefix(text, "-"); ok {
		if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
			return now.Add(-d).UnixMilli(), nil
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05.999", "2006-01-02 15:04:05.999", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, fmt.Errorf("%q is no timestamp: it is @MILLISECONDS, 2006-01-02T15:04:05Z, 2006-01-02, or -1h for an hour ago", text)
}

// topicPart is a topic, or some of its partitions.
type topicPart struct {
	topic      string
	partitions []int32 // nil for all
}

// parseTopicPart reads TOPIC or TOPIC:0,1.
func parseTopicPart(text string) (topicPart, error) {
	topic, list, some := strings.Cut(text, ":")
	if topic == "" {
		return topicPart{}, usage("%q names no topic: write TOPIC or TOPIC:0,1", text)
	}
	if !some {
		return topicPart{topic: topic}, nil
	}
	partitions, err := parsePartitions(strings.Split(list, ","))
	if err != nil {
		return topicPart{}, usage("%q: %v", text, err)
	}
	return topicPart{topic, partitions}, nil
}

func parsePartitions(texts []string) ([]int32, error) {
	var out []int32
	for _, text := range texts {
		p, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if err != nil || p < 0 {
			return nil, fmt.Errorf("%q is no partition: it is a number from 0 on", text)
		}
		if !slices.Contains(out, int32(p)) {
			out = append(out, int32(p))
		}
	}
	return out, nil
}
