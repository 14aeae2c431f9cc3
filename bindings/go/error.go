// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"time"
	"unsafe"
)

// An Error tells why a call failed. errors.Is finds its status, and what it stands for in Go: ErrTimeout is
// context.DeadlineExceeded, ErrCancelled is context.Canceled, and a write whose context ended after it was sent, ErrUnknown, is what the
// context ended with.
type Error struct {
	// Status is one of the constants below zero.
	Status Status
	// SQLState is the server's code of five characters, or "".
	SQLState string
	// Message says in one line what happened, to what, and what to do. There is no key, value or password in it.
	Message string

	cause error
}

// Error gives the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Status.Error()
	}
	return "pgcache: " + e.Message
}

// endOf is what a context has ended with: nil, if it has not.
func endOf(ctx context.Context) error {
	if until, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(until) {
		return context.DeadlineExceeded // it only has not had the time to say so
	}
	return ctx.Err()
}

// blame says what a context that ended, if it did, has to do with the error. A deadline is given to the library as a cancellation, too.
func (e *Error) blame(ctx context.Context) {
	cause := endOf(ctx)
	switch e.Status {
	case ErrCancelled:
		if cause == context.DeadlineExceeded {
			e.Status, e.Message = ErrTimeout, "the context's deadline passed; nothing was changed"
		}
	case ErrTimeout, ErrUnknown:
	default:
		return
	}
	e.cause = cause
}

// Unwrap gives what led to the error, if that was not the library: what a context ended with, or what an encoder said.
func (e *Error) Unwrap() error { return e.cause }

// Is tells errors.Is what the error is.
func (e *Error) Is(target error) bool {
	switch target {
	case e.Status:
		return true
	case context.DeadlineExceeded:
		return e.Status == ErrTimeout
	case context.Canceled:
		return e.Status == ErrCancelled
	}
	return false
}

// Timeout says whether time was over, as net.Error asks.
func (e *Error) Timeout() bool { return e.Status == ErrTimeout }

// failure has the layout of pgcache_error.
type failure struct {
	structSize uintptr
	status     Status
	sqlState   [6]byte
	message    [506]byte
}

func (f *failure) reset() unsafe.Pointer {
	f.structSize = unsafe.Sizeof(*f)
	f.status = statusOK
	f.sqlState[0], f.message[0] = 0, 0
	return unsafe.Pointer(f)
}

// errorOf gives a call's outcome as Go sees it: nil, a Status, or an Error.
func (f *failure) errorOf(status int32) error {
	switch {
	case status == 0:
		return nil
	case status > 0:
		return Status(status)
	}
	return &Error{Status: Status(status), SQLState: cut(f.sqlState[:]), Message: cut(f.message[:])}
}

// cut gives the text before the first NUL.
func cut(bytes []byte) string {
	for i, b := range bytes {
		if b == 0 {
			return string(bytes[:i])
		}
	}
	return string(bytes)
}

// textOf copies a text of C's.
func textOf(text *byte) string {
	if text == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(text), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(text, n))
}

// bytesOf copies bytes of C's; never nil.
func bytesOf(data *byte, size uint64) []byte {
	bytes := make([]byte, size)
	if size > 0 {
		copy(bytes, unsafe.Slice(data, size))
	}
	return bytes
}

// invalid is an argument that is refused before the library is asked.
func invalid(message string) error { return &Error{Status: ErrInvalid, Message: message} }

func closed() error {
	return &Error{Status: ErrClosed, Message: "the cache was closed"}
}

// ended is what a call gives whose context ended first, and which changed nothing.
func ended(err error) error {
	status := ErrCancelled
	if err == context.DeadlineExceeded {
		status = ErrTimeout
	}
	return &Error{Status: status, Message: "the context ended first", cause: err}
}
