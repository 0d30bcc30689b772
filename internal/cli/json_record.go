package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// jsonRecord is a record as one line of JSON: what `consume -o json` writes and `produce --input json` reads. Bytes that are no UTF-8 stand in base64, and the
// field beside them says so.
type jsonRecord struct {
	Topic         string          `json:"topic,omitempty"`
	Partition     int32           `json:"partition"`
	Offset        int64           `json:"offset"`
	Timestamp     *int64          `json:"timestamp,omitempty"`
	TimestampType string          `json:"timestamp_type,omitempty"`
	Key           json.RawMessage `json:"key"`
	KeyEncoding   string          `json:"key_encoding,omitempty"`
	Value         json.RawMessage `json:"value"`
	ValueEncoding string          `json:"value_encoding,omitempty"`
	Headers       []jsonHeader    `json:"headers,omitempty"`
}

type jsonHeader struct {
	Key           string          `json:"key"`
	Value         json.RawMessage `json:"value"`
	ValueEncoding string          `json:"value_encoding,omitempty"`
}

const base64Encoding = "base64"

// appendJSON appends a record as one line.
func appendJSON(b []byte, r *kgo.Record) ([]byte, error) {
	millis := r.Timestamp.UnixMilli()
	out := jsonRecord{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: &millis}
	switch r.Attrs.TimestampType() {
	case 0:
		out.TimestampType = "create"
	case 1:
		out.TimestampType = "append"
	}
	var err error
	if out.Key, out.KeyEncoding, err = encodeBytes(r.Key); err != nil {
		return nil, err
	}
	if out.Value, out.ValueEncoding, err = encodeBytes(r.Value); err != nil {
		return nil, err
	}
	for _, h := range r.Headers {
		header := jsonHeader{Key: h.Key}
		if header.Value, header.ValueEncoding, err = encodeBytes(h.Value); err != nil {
			return nil, err
		}
		out.Headers = append(out.Headers, header)
	}
	line := bytes.NewBuffer(b)
	e := json.NewEncoder(line)
	e.SetEscapeHTML(false)
	err = e.Encode(&out)
	return line.Bytes(), err
}

// encodeBytes makes a JSON string of bytes, or null.
func encodeBytes(data []byte) (text json.RawMessage, encoding string, err error) {
	if data == nil {
		return json.RawMessage("null"), "", nil
	}
	value := string(data)
	if !utf8.Valid(data) {
		value, encoding = base64.StdEncoding.EncodeToString(data), base64Encoding
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(value)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), encoding, err
}

// decodeBytes is the inverse; JSON that is neither a string nor null stands for its own text.
func decodeBytes(text json.RawMessage, encoding string) ([]byte, error) {
	if encoding != "" && encoding != base64Encoding {
		return nil, fmt.Errorf("encoding %q: it is %s or absent", encoding, base64Encoding)
	}
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	if text[0] != '"' {
		var compact bytes.Buffer
		err := json.Compact(&compact, text)
		return compact.Bytes(), err
	}
	var value string
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, err
	}
	if encoding == base64Encoding {
		return base64.StdEncoding.DecodeString(value)
	}
	return []byte(value), nil
}

// parseJSONRecord reads one line. Topic, partition and offset are where the record was, not where it goes.
func parseJSONRecord(line []byte) (*kgo.Record, error) {
	var in jsonRecord
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("there is more after the record")
	}
	r := &kgo.Record{}
	var err error
	if r.Key, err = decodeBytes(in.Key, in.KeyEncoding); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if r.Value, err = decodeBytes(in.Value, in.ValueEncoding); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	for _, h := range in.Headers {
		value, err := decodeBytes(h.Value, h.ValueEncoding)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Key, err)
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: value})
	}
	if in.Timestamp != nil {
		r.Timestamp = time.UnixMilli(*in.Timestamp)
	}
	return r, nil
}
