package arch

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/ottla/ottla/"

// marksAllowed is how many files and functions may be longer than the limits with an //arch:long reason. It only falls.
const marksAllowed = 25

const (
	maxFileLines     = 600
	maxFunctionLines = 70
)

var root = filepath.Join("..", "..")

// goFile is one parsed file of ours.
type goFile struct {
	path, dir string
	test      bool
	generated bool
	lines     []string
	ast       *ast.File
	fset      *token.FileSet
}

// load parses every file once for all tests, which only read them.
func load(t *testing.T) []goFile {
	t.Helper()
	files, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return files
}

var parsed = sync.OnceValues(func() (files []goFile, _ error) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || ownModule(path)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, path, src, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		files = append(files, goFile{
			path: rel, dir: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(rel, "_test.go"), generated: ast.IsGenerated(parsed),
			lines: strings.Split(string(src), "\n"), ast: parsed, fset: fset,
		})
		return nil
	})
	return files, err
})

// ownModule tells whether a directory is a Go module of its own, such as the strangers' clients.
func ownModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil && dir != root
}

type floor struct {
	name  string
	order int
}

func floors(t *testing.T) map[string]floor {
	t.Helper()
	f, err := os.Open("floors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]floor{}
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) == 2 && fields[0] != "#" {
			out[fields[1]] = floor{fields[0], len(out)}
		}
	}
	return out
}

func TestFloors(t *testing.T) {
	order := floors(t)
	seen := map[string]bool{}
	for _, f := range load(t) {
		if !strings.HasPrefix(f.dir, "internal/") && !strings.HasPrefix(f.dir, "cmd/") || f.dir == "internal/arch" || onlyTools(f) {
			continue
		}
		own, ok := floorOf(order, f.dir)
		if !ok {
			if !seen[f.dir] {
				t.Errorf("%s stands on no floor: add it to internal/arch/floors.txt", f.dir)
			}
			seen[f.dir] = true
			continue
		}
		if f.test {
			continue
		}
		for _, imp := range f.ast.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			if !strings.HasPrefix(path, module) {
				continue
			}
			target := strings.TrimPrefix(path, module)
			below, ok := floorOf(order, target)
			if ok && (below.order < own.order || target == f.dir || sameRoom(f.dir, target)) {
				continue
			}
			t.Errorf("%s imports %s, which is not below it", f.path, target)
		}
	}
}

// floorOf finds a package's floor; a package in a folder below a listed one (a fault injector, a generator) stands with it.
func floorOf(order map[string]floor, dir string) (floor, bool) {
	for d := dir; d != "."; d = filepath.ToSlash(filepath.Dir(d)) {
		if f, ok := order[d]; ok {
			return f, true
		}
	}
	return floor{}, false
}

func sameRoom(a, b string) bool { return strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/") }

func onlyTools(f goFile) bool { return f.ast.Name.Name == "main" && !strings.HasPrefix(f.dir, "cmd/") }

var impure = []string{"os", "net", "sync", "sync/atomic", "context", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "net/http", "time/tzdata", "log"}

func TestMachinesAndBytesArePure(t *testing.T) {
	for _, f := range load(t) {
		if f.test || onlyTools(f) || !strings.HasPrefix(f.dir, "internal/machine") && !strings.HasPrefix(f.dir, "internal/kafka") {
			continue
		}
		for _, imp := range f.ast.Imports {
			if path := strings.Trim(imp.Path.Value, `"`); slices.Contains(impure, path) {
				t.Errorf("%s imports %s", f.path, path)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", f.fset.Position(n.Pos()))
			case *ast.ChanType:
				t.Errorf("%s has a channel", f.fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}, n.Sel.Name) {
					t.Errorf("%s reads the clock", f.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

func TestSeams(t *testing.T) {
	for _, f := range load(t) {
		if f.test {
			continue
		}
		for _, imp := range f.ast.Imports {
			path := strings.TrimPrefix(strings.Trim(imp.Path.Value, `"`), module)
			switch {
			case f.dir == "internal/cluster/shard" && strings.HasPrefix(path, "internal/machine/"),
				f.dir == "internal/cluster/quorum" && path == "internal/machine/meta",
				f.dir == "internal/broker/server" && path == "internal/broker/api":
				t.Errorf("%s imports %s", f.path, path)
			}
		}
	}
}

func TestEveryPackageIntroducesItself(t *testing.T) {
	docs := map[string]string{}
	for _, f := range load(t) {
		if f.test || onlyTools(f) || !strings.HasPrefix(f.dir, "internal/") {
			continue
		}
		docs[f.dir] += f.ast.Doc.Text()
	}
	for dir, doc := range docs {
		for _, heading := range []string{"# Invariants", "# Ownership", "# Does not"} {
			if !strings.Contains(doc, heading) {
				t.Errorf("%s: its package comment has no %q", dir, heading)
			}
		}
	}
}

var badPackage = regexp.MustCompile(`^(util|utils|common|helper|helpers|base|types|core|manager)$`)
var badType = regexp.MustCompile(`(Manager|Helper|Impl)$`)

func TestNames(t *testing.T) {
	for _, f := range load(t) {
		if badPackage.MatchString(f.ast.Name.Name) {
			t.Errorf("%s: package %s is a drawer, not a name", f.path, f.ast.Name.Name)
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && badType.MatchString(spec.Name.Name) {
				t.Errorf("%s: type %s", f.fset.Position(spec.Pos()), spec.Name.Name)
			}
			return true
		})
	}
}

func TestSizes(t *testing.T) {
	marks := 0
	for _, f := range load(t) {
		if f.generated || f.test {
			continue
		}
		marked := func(line int) bool { // the mark stands above the package clause or the function
			for i := line - 2; i >= 0 && i >= line-40 && (strings.HasPrefix(f.lines[i], "//") || i == line-2); i-- {
				if strings.HasPrefix(f.lines[i], "//arch:long ") {
					return true
				}
			}
			return false
		}
		if n := len(f.lines); n > maxFileLines {
			if marked(f.fset.Position(f.ast.Package).Line) {
				marks++
			} else {
				t.Errorf("%s has %d lines, over %d", f.path, n, maxFileLines)
			}
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			from, to := f.fset.Position(fn.Pos()).Line, f.fset.Position(fn.End()).Line
			if to-from+1 <= maxFunctionLines {
				continue
			}
			if marked(from) {
				marks++
			} else {
				t.Errorf("%s:%d: %s has %d lines, over %d", f.path, from, fn.Name.Name, to-from+1, maxFunctionLines)
			}
		}
	}
	if marks > marksAllowed {
		t.Errorf("%d //arch:long marks, over %d: the number only falls", marks, marksAllowed)
	}
}

func TestTestsDoNotSleep(t *testing.T) {
	for _, f := range load(t) {
		if !f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s sleeps: wait for the thing itself", f.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}
