// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

func openNull(t *testing.T, options ...OpenOption) *Cache {
	t.Helper()
	c, err := Open("null:", append([]OpenOption{JanitorEvery(0)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// slow is an owner that takes its time to free what it has.
type slow struct{ begun, end chan struct{} }

func (s *slow) free() {
	close(s.begun)
	<-s.end
}

// The handle outlives what is being freed: an observer or a load that ends while the cache is closed.
func TestCloseWaitsForWhatIsBeingFreed(t *testing.T) {
	c := openNull(t)
	o := &slow{make(chan struct{}), make(chan struct{})}
	c.core.own(o)
	go c.core.disown(o)
	<-o.begun
	closed := make(chan struct{})
	go func() {
		c.Close()
		close(closed)
	}()
	select {
	case <-closed:
		t.Error("the handle was freed before what hangs on it")
	case <-time.After(100 * time.Millisecond):
	}
	close(o.end)
	<-closed
}

// impatient is a provider whose contexts end when it says so.
type impatient struct{ cancel context.CancelFunc }

func (e *impatient) Begin(ctx context.Context, _ *Operation) context.Context {
	ctx, e.cancel = context.WithCancel(ctx)
	return ctx
}
func (e *impatient) End(context.Context, *Operation) {}

// A write that goes on when its caller is gone has a value of its own, also where only a provider made the context one that ends.
func TestWritesKeepTheirValues(t *testing.T) {
	provider := &impatient{}
	c := openNull(t, Instrument(provider))
	entered, changed, read := make(chan struct{}), make(chan struct{}), make(chan string, 1)
	direct := func(_ *raw.Cache, _ *int64, _, value string, _ int, _ int64, _, _ unsafe.Pointer) int32 {
		close(entered)
		<-changed
		read <- string([]byte(value))
		return raw.OK
	}
	go func() {
		<-entered
		provider.cancel()
	}()
	value := []byte("value")
	if _, err := c.store(context.Background(), "put", "k", value, defaults, direct, nil); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	copy(value, "other")
	close(changed)
	if got := <-read; got != "value" {
		t.Errorf("the caller's memory was read after the call: %q", got)
	}
}

// over is a context whose deadline has passed, and which does not know of it yet.
type over struct{ context.Context }

func (over) Deadline() (time.Time, bool) { return time.Now().Add(-time.Minute), true }

func TestDeadlineThatHasJustPassed(t *testing.T) {
	c := openNull(t)
	f := newFrame(defaults)
	defer f.release()
	c.core.bound(over{context.Background()}, defaults, time.Second, f)
	if f.options.deadline != 1 { // 0 would ask not to wait for others that load
		t.Error("the call may take ", f.options.deadline)
	}
	c.core.bound(over{context.Background()}, optionsOf([]Option{Timeout(-1)}), time.Second, f)
	if f.options.deadline >= 0 {
		t.Error("a wrong argument is hidden")
	}
}

// What fails when requests begin is tried again by the next one.
func TestStartIsTriedAgain(t *testing.T) {
	c := openNull(t)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := syscall.Rlimit{Cur: 3, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, err := c.Stats(context.Background())
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		t.Fatal("there was no descriptor, and it worked")
	}
	if _, err := c.Stats(context.Background()); err != nil {
		t.Error("for ever: ", err)
	}
}

// A descriptor that somebody else has closed ends the cache, so that no request waits in vain.
func TestEventsThatCannotBeWatched(t *testing.T) {
	c := openNull(t)
	if _, err := c.Stats(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.core.requests.event.Close()
	over := make(chan error, 1)
	go func() {
		for {
			if _, err := c.Stats(context.Background()); err != nil {
				over <- err
				return
			}
		}
	}()
	select {
	case err := <-over:
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for ever")
	}
}

// Two that are added to each other at the same time do not wait for each other.
func TestSnapshotsAddedToEachOther(t *testing.T) {
	c := openNull(t)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for i := 0; i < 200; i++ {
			one, err := c.Snapshot()
			if err != nil {
				t.Error(err)
				return
			}
			other, _ := c.Snapshot()
			var both sync.WaitGroup
			for _, pair := range [][2]*Snapshot{{one, other}, {other, one}} {
				both.Add(1)
				go func(to, from *Snapshot) {
					defer both.Done()
					for i := 0; i < 20; i++ {
						_ = to.Add(from)
					}
				}(pair[0], pair[1])
			}
			both.Wait()
		}
	}()
	select {
	case <-over:
	case <-time.After(30 * time.Second):
		t.Fatal("they wait for each other")
	}
}

func TestDurations(t *testing.T) {
	for ms, wanted := range map[int64]time.Duration{0: 0, 1500: 1500 * time.Millisecond, raw.TTL_NEVER: Forever, 1 << 60: Forever - 1} {
		if got := durationOf(ms); got != wanted {
			t.Errorf("%d ms: %v", ms, got)
		}
	}
}

// A context that does not know yet that its deadline has passed is what a write failed for nevertheless.
func TestBlame(t *testing.T) {
	err := &Error{Status: ErrUnknown}
	err.blame(over{context.Background()})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("it has no cause")
	}
	err = &Error{Status: ErrServer}
	err.blame(over{context.Background()})
	if err.Unwrap() != nil {
		t.Error("the context has nothing to do with it: ", err.Unwrap())
	}
}
