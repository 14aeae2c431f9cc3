// SPDX-License-Identifier: MIT

package pgcache

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// parsePackage reads this folder's files that are no tests.
func parsePackage(t *testing.T) (*token.FileSet, *ast.Package) {
	t.Helper()
	files := token.NewFileSet()
	packages, err := parser.ParseDir(files, ".", func(info os.FileInfo) bool {
		return !strings.HasSuffix(info.Name(), "_test.go")
	}, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return files, packages["pgcache"]
}

func TestLayouts(t *testing.T) {
	for _, one := range []struct {
		name string
		size uintptr
		c    int
	}{
		{"failure", unsafe.Sizeof(failure{}), raw.SIZE_pgcache_error},
		{"plan", unsafe.Sizeof(plan{}), raw.SIZE_pgcache_load_options},
		{"settingInfo", unsafe.Sizeof(settingInfo{}), raw.SIZE_pgcache_setting},
		{"cleanupProgress", unsafe.Sizeof(cleanupProgress{}), raw.SIZE_pgcache_cleanup_progress},
		{"usage", unsafe.Sizeof(usage{}), raw.SIZE_pgcache_usage},
		{"storeStats", unsafe.Sizeof(storeStats{}), raw.SIZE_pgcache_store_stats},
		{"counters", unsafe.Sizeof(counters{}), raw.SIZE_pgcache_counters},
		{"event", unsafe.Sizeof(event{}), raw.SIZE_pgcache_event},
		{"item", unsafe.Sizeof(item{}), raw.SIZE_pgcache_item},
		{"callOptions", unsafe.Sizeof(callOptions{}), raw.SIZE_pgcache_go_options},
		{"found", unsafe.Sizeof(found{}), raw.SIZE_pgcache_go_found},
		{"scratch.found", unsafe.Sizeof(scratch{}.found), raw.SIZE_pgcache_go_found},
		{"done", unsafe.Sizeof(done{}), raw.SIZE_pgcache_go_done},
		{"head", unsafe.Sizeof(head{}), raw.SIZE_pgcache_go_head},
	} {
		if int(one.size) != one.c {
			t.Errorf("%s has %d bytes, and in C %d", one.name, one.size, one.c)
		}
	}
}

// Names and members of C's structs against those of Go's, so that none is between the others.
func TestCountersAreInC(t *testing.T) {
	header, err := os.ReadFile(filepath.Join("..", "..", "abi", "pgcache.h"))
	if os.IsNotExist(err) {
		t.Skip("SKIPPED: this is the module alone, without the library's source beside it")
	}
	text := string(header)
	for c, members := range map[string][]string{"counters": fields(t, "Counters"), "store_stats": fields(t, "StoreStats")} {
		end := strings.Index(text, "} pgcache_"+c+";")
		body := text[strings.LastIndex(text[:end], "typedef struct"):end]
		var inC []string
		for _, match := range regexp.MustCompile(`(?m)^  int\d+_t (\w+);`).FindAllStringSubmatch(body, -1) {
			inC = append(inC, strings.ReplaceAll(match[1], "_", ""))
		}
		if got, wanted := strings.ToLower(strings.Join(members, " ")), strings.Join(inC, " "); got != wanted {
			t.Errorf("%s:\n%s\nin C:\n%s", c, got, wanted)
		}
	}
}

func fields(t *testing.T, name string) []string {
	_, pkg := parsePackage(t)
	var names []string
	for _, file := range pkg.Files {
		if object := file.Scope.Lookup(name); object != nil {
			for _, field := range object.Decl.(*ast.TypeSpec).Type.(*ast.StructType).Fields.List {
				for _, one := range field.Names {
					names = append(names, one.Name)
				}
			}
		}
	}
	return names
}

// Each status of the header has a constant with its number, and those the names that they have in C.
func TestStatuses(t *testing.T) {
	_, pkg := parsePackage(t)
	inGo := map[string]bool{}
	for _, file := range pkg.Files {
		for name, object := range file.Scope.Objects {
			if object.Kind == ast.Con && strings.HasPrefix(name, "Err") {
				inGo[strings.ToLower(name[len("Err"):])] = true
			}
		}
	}
	count := 0
	for s := Status(-100); s < 100; s++ {
		name := strings.TrimPrefix(s.Name(), "PGCACHE_")
		if name == "?" {
			continue
		}
		count++
		constant := strings.ToLower(strings.ReplaceAll(name, "_", ""))
		if constant == "servererror" {
			constant = "server"
		}
		switch s {
		case statusOK, statusStale, statusLease, 3: // they do not leave the package; 3: no buffer of C's is too small
		default:
			if !inGo[constant] {
				t.Errorf("no constant for %s", name)
			}
		}
	}
	if count < 33 {
		t.Errorf("only %d statuses", count)
	}
	for status, name := range map[Status]string{ErrMiss: "MISS", ErrExists: "EXISTS", ErrBusy: "BUSY", ErrRefused: "REFUSED",
		ErrInvalid: "INVALID", ErrTooLarge: "TOO_LARGE", ErrBadSetting: "BAD_SETTING", ErrNoMemory: "NO_MEMORY",
		ErrClosed: "CLOSED", ErrTimeout: "TIMEOUT", ErrUnknown: "UNKNOWN", ErrUnavailable: "UNAVAILABLE",
		ErrTooManyConnections: "TOO_MANY_CONNECTIONS", ErrDenied: "DENIED", ErrReadOnly: "READ_ONLY", ErrFull: "FULL",
		ErrServerTooOld: "SERVER_TOO_OLD", ErrSchemaMissing: "SCHEMA_MISSING", ErrSchemaOlder: "SCHEMA_OLDER",
		ErrSchemaNewer: "SCHEMA_NEWER", ErrSchemaChanged: "SCHEMA_CHANGED", ErrSchemaDiffers: "SCHEMA_DIFFERS",
		ErrNotACounter: "NOT_A_COUNTER", ErrOverflow: "OVERFLOW", ErrConflict: "CONFLICT", ErrServer: "SERVER_ERROR",
		ErrUnsupported: "UNSUPPORTED", ErrQueueFull: "QUEUE_FULL", ErrCancelled: "CANCELLED"} {
		if status.Name() != "PGCACHE_"+name {
			t.Errorf("%d is %s, not %s", status, status.Name(), name)
		}
	}
}

func TestConstants(t *testing.T) {
	for name, pair := range map[string][2]int64{
		"FormatBytes": {int64(FormatBytes), int64(raw.FORMAT_BYTES)}, "FormatJSON": {int64(FormatJSON), int64(raw.FORMAT_JSON)},
		"NoLimit": {NoLimit, int64(raw.LIMIT_NONE)}, "KeepLimit": {KeepLimit, int64(raw.LIMIT_KEEP)},
		"Counter": {int64(Counter), int64(raw.COUNTER)}, "Gauge": {int64(Gauge), int64(raw.GAUGE)},
		"Histogram": {int64(Histogram), int64(raw.HISTOGRAM)}, "Operations": {int64(Operations), int64(raw.OBSERVE_OPERATIONS)},
		"SlowOperations": {int64(SlowOperations), int64(raw.OBSERVE_SLOW)}, "States": {int64(States), int64(raw.OBSERVE_STATES)},
		"Log": {int64(Log), int64(raw.OBSERVE_LOG)}, "WithKeys": {int64(WithKeys), int64(raw.OBSERVE_KEYS)},
		"LevelDebug": {int64(LevelDebug), int64(raw.LEVEL_DEBUG)}, "LevelError": {int64(LevelError), int64(raw.LEVEL_ERROR)},
		"LevelInfo": {int64(LevelInfo), int64(raw.LEVEL_INFO)}, "LevelWarning": {int64(LevelWarning), int64(raw.LEVEL_WARNING)},
		"OperationEvent": {int64(OperationEvent), int64(raw.EVENT_OPERATION)}, "SlowEvent": {int64(SlowEvent), int64(raw.EVENT_SLOW)},
		"StateEvent": {int64(StateEvent), int64(raw.EVENT_STATE)}, "LogEvent": {int64(LogEvent), int64(raw.EVENT_LOG)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %d, and in C %d", name, pair[0], pair[1])
		}
	}
}

// Everything that is exported says what it is, and the comment begins with its name or stands for a whole group.
func TestEverythingIsDocumented(t *testing.T) {
	files, pkg := parsePackage(t)
	for _, file := range pkg.Files {
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) && !strings.HasPrefix(d.Doc.Text(), d.Name.Name+" ") {
					t.Errorf("%s: %s", files.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					undocumented(t, files, d, spec)
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	name := ""
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return true
	})
	return ast.IsExported(name)
}

func undocumented(t *testing.T, files *token.FileSet, d *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return
		}
		if d.Doc.Text() == "" {
			t.Errorf("%s: %s", files.Position(s.Pos()), s.Name)
		}
		if structure, ok := s.Type.(*ast.StructType); ok {
			for _, field := range structure.Fields.List {
				if len(field.Names) > 0 && field.Names[0].IsExported() && field.Doc.Text() == "" {
					t.Errorf("%s: %s.%s", files.Position(field.Pos()), s.Name, field.Names[0])
				}
			}
		}
	case *ast.ValueSpec:
		if s.Names[0].IsExported() && s.Doc.Text() == "" && (d.Lparen.IsValid() || d.Doc.Text() == "") {
			t.Errorf("%s: %s", files.Position(s.Pos()), s.Names[0])
		}
	}
}
