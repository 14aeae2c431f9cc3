// SPDX-License-Identifier: MIT

//go:build go1.21

package pgcache

import (
	"context"
	"log/slog"
	"runtime"
	"time"
)

// LogTo writes what the cache has to say to a logger, until ctx ends or the cache is closed: words for a log from level on, slow
// operations (see the setting slow_ms), and the states of the breaker, the listener and janitors. No key or value is written.
func (c *Cache) LogTo(ctx context.Context, logger *slog.Logger, level Level) error {
	core := c.core // alone, so that the garbage collector can close a cache that nobody has but its log
	queue, err := core.observe(SlowOperations|States|Log, level, 1000)
	runtime.KeepAlive(c)
	if err != nil {
		return err
	}
	go func() {
		defer core.disown(queue)
		for {
			event, err := queue.await(ctx)
			if err != nil {
				return
			}
			// The words about a slow operation come beside its figures.
			if event.Kind == SlowEvent || event.Level >= level {
				logger.LogAttrs(ctx, slogLevel(event.Level), event.words(), event.attributes()...)
			}
		}
	}()
	return nil
}

func slogLevel(level Level) slog.Level {
	switch level {
	case LevelDebug:
		return slog.LevelDebug
	case LevelWarning:
		return slog.LevelWarn
	case LevelError:
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (e *Event) words() string {
	switch e.Kind {
	case StateEvent:
		return "pgcache: " + e.Operation + " " + e.Outcome
	case SlowEvent:
		return "pgcache: slow " + e.Operation
	}
	return "pgcache: " + e.Message
}

func (e *Event) attributes() []slog.Attr {
	var attributes []slog.Attr
	add := func(name, value string) {
		if value != "" {
			attributes = append(attributes, slog.String(name, value))
		}
	}
	add("operation", e.Operation)
	add("outcome", e.Outcome)
	add("source", e.Source)
	add("namespace", e.Namespace)
	add("span_name", e.Span)
	add("sqlstate", e.SQLState)
	if e.Kind != LogEvent {
		add("message", e.Message)
	}
	if e.Duration > 0 {
		attributes = append(attributes, slog.Duration("duration", e.Duration.Round(time.Microsecond)))
	}
	return attributes
}
