package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// facts is an answer as paths and values.
type facts map[string]string

// identity are the fields that name an element of a list, in the order in which they make its path.
var identity = []string{
	"Topic", "TopicID", "Name", "Group", "ApiKey", "ResourceType", "ResourceName", "Type", "Partition", "NodeID", "ReplicaID", "Key", "MemberID", "ProducerID", "User", "Dir", "BatchIndex",
}

// volatile are fields whose values come from the clock, the disk or chance: only whether they are set is compared.
var volatile = map[string]bool{
	"TotalBytes": true, "UsableBytes": true, "Size": true, "LastFetchTimestamp": true, "LastCaughtUpTimestamp": true,
	"FinalizedFeaturesEpoch": true, "LastTimestamp": true, "LogAppendTime": true, "Documentation": true, "SessionID": true,
}

// quorumVolatile are fields of one API that have to do with the metadata log's contents.
var quorumVolatile = map[string]bool{"Port": true, "HighWatermark": true, "LogEndOffset": true, "LeaderEpoch": true}

// renderer writes answers of one side. Its names replace what the side has made up: ids, ports, directories.
type renderer struct {
	names map[string]string
	text  bool
}

func (r *renderer) render(key int16, v any) facts {
	out := facts{}
	r.value(out, key, "", "", reflect.ValueOf(v).Elem())
	return out
}

func (r *renderer) value(out facts, key int16, path, field string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			out[path] = "null"
			return
		}
		r.value(out, key, path, field, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if name == "Version" || name == "UnknownTags" {
				continue
			}
			r.value(out, key, path+"."+name, name, v.Field(i))
		}
	case reflect.Array:
		out[path] = r.name(idText([16]byte(v.Bytes())))
		if key == 55 && field == "ReplicaDirectoryID" && !v.IsZero() {
			out[path] = "<set>"
		}
	case reflect.Slice:
		r.list(out, key, path, field, v)
	default:
		out[path] = r.scalar(key, field, v)
	}
}

func idText(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func (r *renderer) name(s string) string {
	if n, ok := r.names[s]; ok {
		return n
	}
	return s
}

func (r *renderer) scalar(key int16, field string, v reflect.Value) string {
	s := r.name(fmt.Sprint(v.Interface()))
	if v.Kind() == reflect.String {
		s = r.name(v.String())
		if (field == "ErrorMessage") && !r.text && s != "" {
			return "<text>"
		}
		s = strconv.Quote(s)
	}
	if volatile[field] || key == 55 && quorumVolatile[field] {
		if s == "-1" || s == "0" || s == `""` {
			return s
		}
		return "<set>"
	}
	return s
}

func (r *renderer) list(out facts, key int16, path, field string, v reflect.Value) {
	switch {
	case v.IsNil():
		out[path] = "null"
	case v.Type().Elem().Kind() == reflect.Uint8:
		if field == "RecordBatches" || field == "Records" {
			out[path] = records(v.Bytes())
			return
		}
		out[path] = strconv.Quote(r.name(string(v.Bytes())))
	case v.Type().Elem().Kind() != reflect.Struct:
		var all []string
		for i := range v.Len() {
			all = append(all, r.name(fmt.Sprint(v.Index(i).Interface())))
		}
		out[path] = "[" + strings.Join(all, " ") + "]"
	default:
		out[path] = fmt.Sprintf("list of %d", v.Len())
		seen := map[string]int{}
		for i := range v.Len() {
			id := r.identify(v.Index(i))
			seen[id]++
			if n := seen[id]; n > 1 {
				id += "#" + strconv.Itoa(n)
			}
			out[path+"["+id+"]"] = "there"
			r.value(out, key, path+"["+id+"]", "", v.Index(i))
		}
	}
}

// identify names an element by the fields that identify it.
func (r *renderer) identify(v reflect.Value) string {
	var parts []string
	for _, f := range identity {
		field := v.FieldByName(f)
		for field.IsValid() && field.Kind() == reflect.Pointer && !field.IsNil() {
			field = field.Elem()
		}
		if !field.IsValid() || field.Kind() == reflect.Pointer || field.IsZero() && f != "Partition" && f != "BatchIndex" {
			continue
		}
		if field.Kind() == reflect.Array {
			parts = append(parts, r.name(idText([16]byte(field.Bytes()))))
			continue
		}
		parts = append(parts, r.name(fmt.Sprint(field.Interface())))
	}
	return strings.Join(parts, ",")
}

// records describes record batches: the headers, and a sum of everything that a broker must not change.
func records(b []byte) string {
	var out []string
	for len(b) >= 61 {
		size := 12 + int(binary.BigEndian.Uint32(b[8:]))
		if size > len(b) {
			out = append(out, fmt.Sprintf("cut after %d of %d", len(b), size))
			return strings.Join(out, " ")
		}
		batch := b[:size]
		attributes := binary.BigEndian.Uint16(batch[21:])
		sum := fmt.Sprintf("%08x", crc32.ChecksumIEEE(batch[21:]))
		if attributes&8 != 0 {
			sum = "append time"
		}
		out = append(out, fmt.Sprintf("{at %d, epoch %d, attributes %d, %d records, %d bytes, %s}", binary.BigEndian.Uint64(batch), binary.BigEndian.Uint32(batch[12:]),
			attributes, binary.BigEndian.Uint32(batch[57:]), size, sum))
		b = b[size:]
	}
	if len(b) > 0 {
		out = append(out, fmt.Sprintf("%d bytes of a batch", len(b)))
	}
	if out == nil {
		return "empty"
	}
	return strings.Join(out, " ")
}

// differences compares two answers. Below a path that only one has, nothing more is said.
func (a facts) differences(b facts) []string {
	paths := map[string]bool{}
	for p := range a {
		paths[p] = true
	}
	for p := range b {
		paths[p] = true
	}
	var out []string
	whole := "" // an element that one side lacks: its fields say nothing more
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		if whole != "" && strings.HasPrefix(p, whole) {
			continue
		}
		whole = ""
		va, oka := a[p]
		vb, okb := b[p]
		if !oka {
			va = "absent"
		}
		if !okb {
			vb = "absent"
		}
		if va != vb {
			out = append(out, fmt.Sprintf("%s: kafka %s, ottla %s", p, va, vb))
			if !oka || !okb {
				whole = p + "."
			} else if va == "null" || vb == "null" {
				whole = p + "["
			}
		}
	}
	return out
}
