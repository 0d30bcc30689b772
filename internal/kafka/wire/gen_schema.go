//go:build ignore

// This program writes zz_schema.go: the shape of every request of kmsg, read from kmsg's own decoders. They are generated and regular; a
// statement that it does not know stops it, so that nothing can be overlooked when kmsg is updated.
//
//	go run gen_schema.go            writes zz_schema.go
//	go run gen_schema.go -stdout    prints it
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/twmb/franz-go/pkg/kmsg"

// A node of the schema, as the package's field and schema types will have it.
type fieldDef struct {
	name         string
	kind         string
	size         int
	tag          int // -1: positional
	since, until int
	nullable     int
	elem         string
	elemSize     int
	elemType     string // Go type of an element or of an optional struct
	of           *structDef
}

type structDef struct {
	variable       string
	fields, tagged []*fieldDef
}

type message struct {
	typeName      string
	key           int // -1: embedded, and starts with its own version
	max, flexible int
	embedded      bool
	root          *structDef
}

const never = 1<<15 - 1

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen_schema: ")
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		log.Fatalf("finding the module %s: %v", module, err)
	}
	source := filepath.Join(strings.TrimSpace(string(dir)), "generated.go")
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
	if err != nil {
		log.Fatal(err)
	}
	out, err := format.Source(emit(collect(file)))
	if err != nil {
		log.Fatal(err)
	}
	if slices.Contains(os.Args[1:], "-stdout") {
		os.Stdout.Write(out)
		return
	}
	if err := os.WriteFile("zz_schema.go", out, 0o644); err != nil {
		log.Fatal(err)
	}
}

// collect finds the decoders of all requests and of the embedded messages.
func collect(file *ast.File) []*message {
	methods := map[string]map[string]*ast.FuncDecl{}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv == nil {
			continue
		}
		star, ok := f.Recv.List[0].Type.(*ast.StarExpr)
		if !ok {
			continue
		}
		t := star.X.(*ast.Ident).Name
		if methods[t] == nil {
			methods[t] = map[string]*ast.FuncDecl{}
		}
		methods[t][f.Name.Name] = f
	}
	var all []*message
	for t, m := range methods {
		embedded := t == "ConsumerMemberMetadata" || t == "ConsumerMemberAssignment"
		if !embedded && (!strings.HasSuffix(t, "Request") || m["Key"] == nil) {
			continue
		}
		msg := &message{typeName: t, key: -1, embedded: embedded, flexible: never}
		if !embedded {
			msg.key = returned(m["Key"])
			msg.max = returned(m["MaxVersion"])
		}
		msg.parse(m["readFrom"])
		if embedded {
			msg.max = msg.highest()
		}
		all = append(all, msg)
	}
	slices.SortFunc(all, func(a, b *message) int {
		if a.key != b.key {
			return a.key - b.key
		}
		return strings.Compare(a.typeName, b.typeName)
	})
	return all
}

// returned is the integer that a one-line method returns.
func returned(f *ast.FuncDecl) int { return number(f.Body.List[0].(*ast.ReturnStmt).Results[0]) }

func number(e ast.Expr) int {
	n, err := strconv.Atoi(e.(*ast.BasicLit).Value)
	if err != nil {
		log.Fatal(err)
	}
	return n
}

// highest is the newest version that any field mentions.
func (m *message) highest() int {
	n := 0
	for _, f := range m.root.fields {
		n = max(n, f.since)
	}
	return n
}

func (m *message) parse(f *ast.FuncDecl) {
	p := &structParser{message: m, def: &structDef{variable: "fields" + m.typeName}}
	m.root = p.def
	for _, s := range f.Body.List {
		if text := printed(s); preamble.MatchString(text) {
			if hit := flexibleFrom.FindStringSubmatch(text); hit != nil {
				m.flexible, _ = strconv.Atoi(hit[1])
			}
			if m.embedded && text == "v.Version = b.Int16()" {
				p.def.fields = append(p.def.fields, &fieldDef{name: "Version", kind: "kindFixed", size: 2, tag: -1, until: never, nullable: never})
			}
			continue
		}
		p.statement(s)
	}
}

var (
	preamble = regexp.MustCompile(`^(v\.Default\(\)|b := kbin\.Reader\{Src: src\}|v\.Version = b\.Int16\(\)|version := v\.Version|_ = version|` +
		`isFlexible := version >= \d+|_ = isFlexible|s := v|return b\.Complete\(\))$`)
	flexibleFrom = regexp.MustCompile(`^isFlexible := version >= (\d+)$`)
	versions     = regexp.MustCompile(`^version >= (\d+)(?: && version <= (\d+))?$`)
	nullArray    = regexp.MustCompile(`^if version < (-?\d+) \|\| l == 0 \{`)
	presentIf    = regexp.MustCompile(`^if present := b\.Int8\(\); present != -1 && b\.Ok\(\) \{`)
)

func printed(n ast.Node) string {
	var b bytes.Buffer
	if err := format.Node(&b, token.NewFileSet(), n); err != nil {
		log.Fatal(err)
	}
	return b.String()
}

// structParser reads the statements that decode one struct.
type structParser struct {
	message *message
	def     *structDef
	path    string
}

// statement reads one statement of a struct's decoder: a field in a block, a field under a version condition, or the tags.
func (p *structParser) statement(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.BlockStmt:
		p.add(p.field(s.List), 0, never)
	case *ast.IfStmt:
		cond := printed(s.Cond)
		if cond == "isFlexible" {
			p.tags(s.Body.List)
			return
		}
		hit := versions.FindStringSubmatch(cond)
		if hit == nil || s.Else != nil {
			p.unknown(s)
		}
		since, _ := strconv.Atoi(hit[1])
		until := never
		if hit[2] != "" {
			until, _ = strconv.Atoi(hit[2])
		}
		p.add(p.field(s.Body.List), since, until)
	default:
		p.unknown(s)
	}
}

func (p *structParser) unknown(n ast.Node) {
	log.Fatalf("%s%s: a statement of a kind that the generator does not know:\n%s", p.message.typeName, p.path, printed(n))
}

func (p *structParser) add(f *fieldDef, since, until int) {
	f.since, f.until, f.tag = since, until, -1
	p.def.fields = append(p.def.fields, f)
}

// tags reads the tag section: either all tags are unknown, or a switch names the known ones.
func (p *structParser) tags(list []ast.Stmt) {
	if len(list) != 1 {
		p.unknown(list[0])
	}
	if printed(list[0]) == "s.UnknownTags = internalReadTags(&b)" {
		return
	}
	loop, ok := list[0].(*ast.ForStmt)
	if !ok || len(loop.Body.List) != 1 {
		p.unknown(list[0])
	}
	for _, c := range loop.Body.List[0].(*ast.SwitchStmt).Body.List {
		c := c.(*ast.CaseClause)
		if c.List == nil {
			continue // default: the unknown tags
		}
		n := len(c.Body)
		if printed(c.Body[0]) != "b := kbin.Reader{Src: b.Span(int(b.Uvarint()))}" || !strings.HasPrefix(printed(c.Body[n-1]), "if err := b.Complete()") {
			p.unknown(c)
		}
		f := p.field(c.Body[1 : n-1])
		f.tag, f.since, f.until = number(c.List[0]), 0, never
		p.def.tagged = append(p.def.tagged, f)
	}
}

// field reads the statements that decode one field and store it in s.NAME.
func (p *structParser) field(list []ast.Stmt) *fieldDef {
	first := printed(list[0])
	switch {
	case presentIf.MatchString(first):
		return p.optional(list[0].(*ast.IfStmt).Body.List)
	case strings.HasPrefix(first, "v := &s."):
		name := strings.TrimPrefix(first, "v := &s.")
		return &fieldDef{name: name, kind: "kindStruct", nullable: never, of: p.nested(name, list[1:])}
	case strings.HasPrefix(first, "v := s."):
		return p.array(strings.TrimPrefix(first, "v := s."), list)
	}
	last := printed(list[len(list)-1])
	name, ok := strings.CutSuffix(strings.TrimPrefix(last, "s."), " = v")
	if !ok {
		p.unknown(list[len(list)-1])
	}
	f := p.primitive(list[:len(list)-1])
	f.name = name
	return f
}

// nested reads the statements of a struct inside this one.
func (p *structParser) nested(name string, list []ast.Stmt) *structDef {
	n := &structParser{message: p.message, path: p.path + "." + name}
	n.def = &structDef{variable: p.def.variable + name}
	for i, s := range list {
		if i < 2 {
			if text := printed(s); text != "v.Default()" && text != "s := v" {
				p.unknown(s)
			}
			continue
		}
		n.statement(s)
	}
	return n.def
}

func (p *structParser) optional(list []ast.Stmt) *fieldDef {
	// s.NAME = new(TYPE); v := s.NAME; then as any struct.
	a := list[0].(*ast.AssignStmt)
	name := strings.TrimPrefix(printed(a.Lhs[0]), "s.")
	t := printed(a.Rhs[0].(*ast.CallExpr).Args[0])
	if printed(list[1]) != "v := s."+name {
		p.unknown(list[1])
	}
	return &fieldDef{name: name, kind: "kindOptionalStruct", nullable: 0, elemType: t, of: p.nested(name, list[2:])}
}

func (p *structParser) array(name string, list []ast.Stmt) *fieldDef {
	f := &fieldDef{name: name, kind: "kindArray", nullable: never}
	for _, s := range list[1:] {
		text := printed(s)
		if hit := nullArray.FindStringSubmatch(text); hit != nil {
			n, _ := strconv.Atoi(hit[1])
			f.nullable = max(n, 0)
			continue
		}
		if i, ok := s.(*ast.IfStmt); ok && printed(i.Cond) == "l > 0" {
			make := i.Body.List[0].(*ast.AssignStmt).Rhs[0].(*ast.CallExpr).Args[1].(*ast.CallExpr)
			f.elemType = printed(make.Args[0].(*ast.ArrayType).Elt)
			continue
		}
		if loop, ok := s.(*ast.ForStmt); ok {
			p.element(f, loop.Body.List)
			continue
		}
		if !arrayFrame.MatchString(text) {
			p.unknown(s)
		}
	}
	if f.elem == "" || f.elemType == "" {
		p.unknown(list[0])
	}
	return f
}

var arrayFrame = regexp.MustCompile(`^(a := v|var l int32|a = a\[:0\]|v = a|s\.\w+ = v|if !b\.Ok\(\) \{\s+return b\.Complete\(\)\s+\}|l = b\.ArrayLen\(\)|` +
	`if isFlexible \{\s+l = b\.CompactArrayLen\(\)\s+\} else \{\s+l = b\.ArrayLen\(\)\s+\})$`)

func (p *structParser) element(f *fieldDef, list []ast.Stmt) {
	if printed(list[0]) == "v := &a[i]" {
		f.elem, f.of = "kindStruct", p.nested(f.name, list[1:])
		return
	}
	if printed(list[len(list)-1]) != "a[i] = v" {
		p.unknown(list[len(list)-1])
	}
	e := p.primitive(list[:len(list)-1])
	if e.nullable != never {
		p.unknown(list[0])
	}
	f.elem, f.elemSize = e.kind, e.size
}

// primitive reads the statements that decode a value without structure into v. What is read follows from the reader's methods called.
func (p *structParser) primitive(list []ast.Stmt) *fieldDef {
	calls := map[string]bool{}
	nullable := -1
	for _, s := range list {
		ast.Inspect(s, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && printed(sel.X) == "b" {
					calls[strings.TrimPrefix(sel.Sel.Name, "Unsafe")] = true
				}
			case *ast.IfStmt:
				cond := printed(n.Cond)
				if v, ok := strings.CutPrefix(cond, "version < "); ok {
					nullable, _ = strconv.Atoi(v)
				} else if cond != "isFlexible" && cond != "unsafe" {
					p.unknown(n)
				}
			}
			return true
		})
	}
	names := make([]string, 0, len(calls))
	for c := range calls {
		names = append(names, strings.TrimPrefix(c, "Compact"))
	}
	slices.Sort(names)
	shape := strings.Join(slices.Compact(names), "+")
	f := &fieldDef{kind: "kindFixed", nullable: never}
	switch shape {
	case "Bool", "Int8":
		f.size = 1
	case "Int16", "Uint16":
		f.size = 2
	case "Int32", "Uint32":
		f.size = 4
	case "Int64", "Float64":
		f.size = 8
	case "Uuid":
		f.size = 16
	case "String":
		f.kind = "kindString"
	case "NullableString":
		f.kind, f.nullable = "kindStringPointer", 0
	case "NullableString+String":
		f.kind, f.nullable = "kindStringPointer", nullable
	case "Bytes":
		f.kind = "kindBytes"
	case "NullableBytes":
		f.kind, f.nullable = "kindBytes", 0
	default:
		log.Fatalf("%s%s: no shape for reads of %q", p.message.typeName, p.path, shape)
	}
	if (nullable >= 0) != (shape == "NullableString+String") {
		p.unknown(list[0])
	}
	return f
}

// smallest is the size of the smallest encoding of the struct in a version.
func (d *structDef) smallest(version int, flexible bool) int {
	n := 0
	for _, f := range d.fields {
		if version < f.since || version > f.until {
			continue
		}
		n += f.smallest(version, flexible)
	}
	if flexible {
		n++
	}
	return n
}

func (f *fieldDef) smallest(version int, flexible bool) int {
	switch f.kind {
	case "kindFixed":
		return f.size
	case "kindStruct":
		return f.of.smallest(version, flexible)
	case "kindOptionalStruct":
		return 1
	}
	if flexible {
		return 1
	}
	if f.kind == "kindString" || f.kind == "kindStringPointer" {
		return 2
	}
	return 4
}

func (d *structDef) aliases() bool {
	return slices.ContainsFunc(slices.Concat(d.fields, d.tagged), func(f *fieldDef) bool {
		return f.kind == "kindBytes" || f.elem == "kindBytes" || (f.of != nil && f.of.aliases())
	})
}

func emit(all []*message) []byte {
	var b bytes.Buffer
	b.WriteString("// Code generated by gen_schema.go from the decoders of " + module + "; DO NOT EDIT.\n\n")
	b.WriteString("//arch:long generated table: one entry for each struct of each request\npackage wire\n\n")
	b.WriteString("import (\n\t\"unsafe\"\n\n\t\"" + module + "\"\n)\n\n")
	b.WriteString("// requests has the shape of every request, by key.\nvar requests = [MaxKey + 1]root{\n")
	for _, m := range all {
		if !m.embedded {
			fmt.Fprintf(&b, "%d: ", m.key)
			m.emitRoot(&b)
			b.WriteString(",\n")
		}
	}
	b.WriteString("}\n\n")
	for _, m := range all {
		if m.embedded {
			name := strings.ToLower(strings.TrimPrefix(m.typeName, "ConsumerMember"))
			if name == "metadata" {
				name = "subscription"
			}
			fmt.Fprintf(&b, "// %s is the shape of %s.\nvar %s = root", name, m.typeName, name)
			m.emitRoot(&b)
			b.WriteString("\n\n")
		}
	}
	for _, m := range all {
		m.root.emitNested(&b, m)
	}
	return b.Bytes()
}

func (m *message) emitRoot(b *bytes.Buffer) {
	fmt.Fprintf(b, "{max: %d, flexible: %s, mem: uint32(unsafe.Sizeof(kmsg.%s{}))", m.max, version(m.flexible), m.typeName)
	if m.root.aliases() && !m.embedded {
		b.WriteString(", aliases: true")
	}
	b.WriteString(", schema: ")
	m.root.emit(b, m)
	b.WriteString("}")
}

// emitNested writes a variable for each struct below this one.
func (d *structDef) emitNested(b *bytes.Buffer, m *message) {
	for _, f := range slices.Concat(d.fields, d.tagged) {
		if f.of == nil {
			continue
		}
		fmt.Fprintf(b, "var %s = ", f.of.variable)
		f.of.emit(b, m)
		b.WriteString("\n\n")
		f.of.emitNested(b, m)
	}
}

func (d *structDef) emit(b *bytes.Buffer, m *message) {
	b.WriteString("schema{")
	for _, part := range []struct {
		name   string
		fields []*fieldDef
	}{{"fields", d.fields}, {"tagged", d.tagged}} {
		if len(part.fields) == 0 {
			continue
		}
		fmt.Fprintf(b, "%s: []field{\n", part.name)
		for _, f := range part.fields {
			f.emit(b)
		}
		b.WriteString("}, ")
	}
	b.WriteString("smallest: \"")
	for v := range m.max + 1 {
		n := max(1, d.smallest(v, v >= m.flexible))
		if n > 255 {
			log.Fatalf("%s: the smallest encoding takes %d bytes, which a byte cannot hold", d.variable, n)
		}
		fmt.Fprintf(b, "\\x%02x", n)
	}
	b.WriteString("\"}")
}

func version(v int) string {
	if v == never {
		return "never"
	}
	return strconv.Itoa(v)
}

func (f *fieldDef) emit(b *bytes.Buffer) {
	fmt.Fprintf(b, "{name: %q, kind: %s, ", f.name, f.kind)
	if f.size > 0 {
		fmt.Fprintf(b, "size: %d, ", f.size)
	}
	if f.tag > 0 {
		fmt.Fprintf(b, "tag: %d, ", f.tag)
	}
	if f.since > 0 {
		fmt.Fprintf(b, "since: %d, ", f.since)
	}
	fmt.Fprintf(b, "until: %s, nullable: %s, ", version(f.until), version(f.nullable))
	if f.elem != "" && f.elem != "kindFixed" {
		fmt.Fprintf(b, "elem: %s, ", f.elem)
	}
	if f.elemSize > 0 {
		fmt.Fprintf(b, "elemSize: %d, ", f.elemSize)
	}
	if t := f.elemType; t != "" {
		switch t {
		case "string":
			t = `""`
		case "int8", "int16", "int32", "int64", "uint16", "uint32":
			t += "(0)"
		default:
			if strings.HasPrefix(t, "[") {
				t += "{}"
			} else if f.of != nil {
				t = "kmsg." + t + "{}"
			} else {
				t = "kmsg." + t + "(0)"
			}
		}
		fmt.Fprintf(b, "elemMem: uint32(unsafe.Sizeof(%s)), ", t)
	}
	if f.of != nil {
		fmt.Fprintf(b, "of: &%s, ", f.of.variable)
	}
	b.WriteString("},\n")
}
