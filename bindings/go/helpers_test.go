// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// hold does statements in a transaction in the background, which lasts until the test ends. They are done when it returns.
func hold(t *testing.T, statements string) {
	t.Helper()
	name := fmt.Sprint("hold ", os.Getpid(), " ", atomic.AddInt32(&held, 1))
	command := psqlCommand("BEGIN; " + statements + "; SELECT pg_sleep(60)")
	command.Env = append(os.Environ(), "PGAPPNAME="+name)
	no(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	eventually(t, "the statements before the last one are done", func() bool {
		return query(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name = '"+name+"'") == "1"
	})
}

var held int32

// query does statements and gives what they print.
func query(t *testing.T, statements string) string {
	t.Helper()
	out, err := psqlCommand(statements).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func psqlCommand(statements string) *exec.Cmd {
	return exec.Command(filepath.Join(os.Getenv("PGCACHE_TEST_BINDIR"), "psql"), "-X", "-q", "-A", "-t", "-d", address,
		"-v", "ON_ERROR_STOP=1", "-c", statements)
}

// figure reads one of /proc/self/status.
func figure(t testing.TB, name string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	no(t, err)
	for _, line := range strings.Split(string(text), "\n") {
		if rest, found := cutPrefix(line, name+":"); found {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			no(t, err)
			return n
		}
	}
	t.Fatal("no ", name)
	return 0
}

func cutPrefix(text, prefix string) (string, bool) {
	return strings.TrimPrefix(text, prefix), strings.HasPrefix(text, prefix)
}

func threadCount(t testing.TB) int { return figure(t, "Threads") }
