// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

func TestSetting(t *testing.T) {
	t.Parallel()
	c, err := pgcache.Open("null:", pgcache.Setting("namespace", "shop"), pgcache.Setting("timeout_ms", 2*time.Second))
	no(t, err)
	for range [2]int{} { // and once more when it is closed
		for name, value := range map[string]string{"namespace": "shop", "timeout_ms": "2000", "url": "null:", "on_error": "miss",
			"encryption": "off", "keys": "", "no_such_setting": ""} {
			same(t, c.Setting(name), value)
		}
		no(t, c.Close())
	}
	if text := fmt.Sprintf("%+v", c); strings.Contains(text, "null:") {
		t.Error("an address, which may hold a password, is in what is printed of a cache: ", text)
	}
}

// asLiterals gives a statement as psql takes it.
func asLiterals(statement string, args []any) string {
	for i := len(args); i > 0; i-- {
		literal := "NULL"
		switch arg := args[i-1].(type) {
		case []byte:
			literal = fmt.Sprintf(`'\x%x'`, arg)
		case string:
			literal = "'" + strings.ReplaceAll(arg, "'", "''") + "'"
		case int64, int32:
			literal = fmt.Sprint(arg)
		}
		statement = strings.ReplaceAll(statement, fmt.Sprint("$", i), literal)
	}
	return statement
}

// The statement for the application's own transaction; the modules of drivers have more.
func TestPutInATransaction(t *testing.T) {
	t.Parallel()
	c := open(t, pgcache.Setting("default_ttl_ms", "never"))
	counts := pgcache.NewTyped[map[string]int](c, pgcache.Namespace("n"))
	do := func(end string) {
		plain, args, err := c.PutStatement("k\x00'\xff", []byte("v\x00'\xff"), pgcache.TTL(time.Minute))
		no(t, err)
		typed, typedArgs, err := counts.PutStatement("counts", map[string]int{"<": 7})
		no(t, err)
		query(t, "BEGIN; "+asLiterals(plain, args)+"; "+asLiterals(typed, typedArgs)+"; "+end)
	}
	do("ROLLBACK")
	misses(t, c, "k\x00'\xff", pgcache.FromStore())
	do("COMMIT")
	same(t, get(t, c, "k\x00'\xff", pgcache.FromStore()), "v\x00'\xff")
	entry, err := counts.GetEntry(ctx, "counts", pgcache.FromStore())
	no(t, err)
	same(t, entry.Value["<"], 7)
	same(t, entry.TTL, pgcache.Forever)
	same(t, entry.Format, pgcache.FormatJSON)
	_, _, err = pgcache.NewTyped[float64](c).PutStatement("k", math.NaN())
	want(t, err, pgcache.ErrFormat)
}

// What SQL would store in plain text is refused.
func TestPutStatementDoesNotUndoEncryption(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	t.Setenv("GO_TEST_KEYS", "one "+key+";digest "+key)
	for name, value := range map[string]string{"encryption": "on", "digests": "keyed"} {
		c, err := pgcache.Open("null:", pgcache.Setting(name, value), pgcache.Setting("keys", "env:GO_TEST_KEYS"))
		no(t, err)
		_, _, err = c.PutStatement("k", []byte("v"))
		want(t, err, pgcache.ErrUnsupported)
		no(t, c.Close())
	}
}
