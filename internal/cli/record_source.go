package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordSource gives the records to produce, and io.EOF after the last.
type recordSource interface {
	next() (*kgo.Record, error)
}

// lineSource makes a record of each line.
type lineSource struct {
	name   string // of the file, for errors
	lines  *bufio.Scanner
	parse  func(line []byte) (*kgo.Record, error)
	number int
	limit  int
}

func newLineSource(name string, r io.Reader, limit int, parse func([]byte) (*kgo.Record, error)) *lineSource {
	s := &lineSource{name: name, lines: bufio.NewScanner(r), parse: parse, limit: limit}
	s.lines.Buffer(nil, limit)
	return s
}

func (s *lineSource) next() (*kgo.Record, error) {
	for s.lines.Scan() {
		s.number++
		r, err := s.parse(s.lines.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", s.name, s.number, err)
		}
		if r != nil {
			return r, nil
		}
	}
	switch err := s.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%s:%d: the line is longer than %d bytes: --max-message-bytes says how large a record may be", s.name, s.number+1, s.limit)
	case err != nil:
		return nil, fmt.Errorf("%s:%d: %w", s.name, s.number+1, err)
	}
	return nil, io.EOF
}

// textLines makes values, or keys and values, of lines.
func textLines(separator string, emptyIsNull bool) func([]byte) (*kgo.Record, error) {
	return func(line []byte) (*kgo.Record, error) {
		line = bytes.Clone(line) // the scanner uses its buffer again
		r := &kgo.Record{Value: line}
		if separator != "" {
			key, value, found := bytes.Cut(line, []byte(separator))
			if !found {
				return nil, fmt.Errorf("the line has no %q between key and value (--key-separator)", separator)
			}
			r.Key, r.Value = key[:len(key):len(key)], value
		}
		if len(r.Value) == 0 {
			r.Value = []byte{}
			if emptyIsNull {
				r.Value = nil
			}
		}
		return r, nil
	}
}

// jsonLines makes records of JSON lines; empty lines are skipped.
func jsonLines(line []byte) (*kgo.Record, error) {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil, nil
	}
	r, err := parseJSONRecord(line)
	if err != nil {
		return nil, fmt.Errorf("no record: %w", err)
	}
	return r, nil
}

// generatedSource makes a number of records of one size, for load. Their values are random letters that a codec cannot shrink much.
type generatedSource struct {
	left   int64
	values [][]byte
	turn   int
}

// generatedValues is how many different values are made; they repeat, so that making them is no part of what is measured.
const generatedValues = 64

func newGeneratedSource(records int64, size int) *generatedSource {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	random := rand.New(rand.NewPCG(1, 2)) // the same load every time
	s := &generatedSource{left: records}
	for range min(records, generatedValues) {
		value := make([]byte, size)
		for i := range value {
			value[i] = letters[random.IntN(len(letters))]
		}
		s.values = append(s.values, value)
	}
	return s
}

func (s *generatedSource) next() (*kgo.Record, error) {
	if s.left == 0 {
		return nil, io.EOF
	}
	s.left--
	s.turn++
	return &kgo.Record{Value: s.values[s.turn%len(s.values)]}, nil
}
