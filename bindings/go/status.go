// SPDX-License-Identifier: MIT

package pgcache

import "github.com/pgcache/pgcache/bindings/go/internal/raw"

// A Status says what a call found, or why it failed. It is an error itself: the constants below are to be compared with
// errors.Is. Those above zero are outcomes, and returned as they are; those below zero come in an [Error].
type Status int32

// What calls may find, beside success.
const (
	// ErrMiss says that there is no such entry, or that it has expired.
	ErrMiss Status = 1
	// ErrExists says that nothing was done: an entry is there (Add), or it has another version (CompareAndSwap).
	ErrExists Status = 2
	// ErrBusy says that there is no value, and that somebody else is loading it.
	ErrBusy Status = 6
	// ErrRefused says that nothing was stored: the lease was over, or the entry was written or invalidated meanwhile.
	ErrRefused Status = 7
)

// Why calls fail.
const (
	// ErrInvalid says that an argument is wrong: empty, out of range, unknown.
	ErrInvalid Status = -1
	// ErrTooLarge says that a key or value is longer than allowed.
	ErrTooLarge Status = -2
	// ErrBadSetting says that a setting's name or value is wrong.
	ErrBadSetting Status = -3
	// ErrNoMemory says that the process is out of memory.
	ErrNoMemory Status = -4
	// ErrClosed says that the cache was closed.
	ErrClosed Status = -5
	// ErrTimeout says that time was over, and that nothing was changed. It is context.DeadlineExceeded, too.
	ErrTimeout Status = -6
	// ErrUnknown says that a write was sent and its answer never came: it may or may not have happened.
	ErrUnknown Status = -7
	// ErrUnavailable says that the server cannot be reached, is starting up or is shutting down.
	ErrUnavailable Status = -8
	// ErrTooManyConnections says that the server has no connection left.
	ErrTooManyConnections Status = -9
	// ErrDenied says that the server refused the log-in, or that a privilege is missing.
	ErrDenied Status = -10
	// ErrReadOnly says that the server is a standby or read-only.
	ErrReadOnly Status = -11
	// ErrFull says that the server's disk or memory is full.
	ErrFull Status = -12
	// ErrServerTooOld says that the server is older than PostgreSQL 15.
	ErrServerTooOld Status = -13
	// ErrSchemaMissing says that the cache's schema is not there: call Init.
	ErrSchemaMissing Status = -14
	// ErrSchemaOlder says that the schema is older than the library: call Upgrade.
	ErrSchemaOlder Status = -15
	// ErrSchemaNewer says that the schema is newer than the library: upgrade the library.
	ErrSchemaNewer Status = -16
	// ErrSchemaChanged says that something in the schema was changed or dropped by hand.
	ErrSchemaChanged Status = -17
	// ErrSchemaDiffers says that the setting table or digests disagrees with the schema.
	ErrSchemaDiffers Status = -18
	// ErrNotACounter says that the entry does not hold a decimal 64-bit integer.
	ErrNotACounter Status = -19
	// ErrOverflow says that the result does not fit 64 bits; the counter is unchanged.
	ErrOverflow Status = -20
	// ErrConflict says that the server gave up a conflict repeatedly; nothing was changed.
	ErrConflict Status = -21
	// ErrServer is any other error of the server; see Error.SQLState.
	ErrServer Status = -22
	// ErrUnsupported says that it is not possible with the cache's settings.
	ErrUnsupported Status = -23
	// ErrQueueFull says that too many calls are under way; nothing was sent.
	ErrQueueFull Status = -24
	// ErrCancelled says that the context was cancelled, and that nothing was changed. It is context.Canceled, too.
	ErrCancelled Status = -25
	// ErrFormat says that a value has a format that no codec here reads, or cannot be encoded or decoded. It is Go's alone.
	ErrFormat Status = -1000
)

// Of the library's statuses those that do not leave this package.
const (
	statusOK    Status = 0
	statusStale Status = 4
	statusLease Status = 5
)

// Error says in one sentence what the status means.
func (s Status) Error() string {
	if s == ErrFormat {
		return "pgcache: the value's format cannot be read or written"
	}
	return "pgcache: " + textOf(raw.Status_text(int32(s)))
}

// Name is the status's name in C, such as PGCACHE_MISS.
func (s Status) Name() string {
	if s == ErrFormat {
		return "PGCACHE_GO_FORMAT"
	}
	return textOf(raw.Status_name(int32(s)))
}
