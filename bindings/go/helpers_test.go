// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// psql does statements in the background, until the test ends.
func psql(t *testing.T, statements string) {
	t.Helper()
	command := psqlCommand(statements)
	no(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
}

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
