// SPDX-License-Identifier: MIT

package pgcache

import (
	"fmt"
	"strings"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// PutStatement gives a statement that stores an entry inside of the application's own transaction, and its arguments, for any driver of
// PostgreSQL's:
//
//	query, args, err := cache.PutStatement("greeting", []byte("hello"), pgcache.TTL(time.Minute))
//	...
//	_, err = tx.ExecContext(ctx, query, args...)
//
// The entry is there with the commit, and after a rollback nothing has happened. Until then other writers of the key wait, so it is best
// done last. What would fail in the transaction is refused here. An entry with Tags or Keys is for loads to store, and one
// that is encrypted for the library: ErrUnsupported.
func (c *Cache) PutStatement(key string, value []byte, opts ...Option) (query string, args []any, err error) {
	o := optionsOf(opts)
	namespace := o.namespace
	if namespace == "" {
		namespace = c.namespace
	}
	ttl := o.plan.ttl
	if ttl == raw.TTL_DEFAULT {
		ttl = raw.TTL_NEVER
		if text := c.Setting("default_ttl_ms"); text != "never" {
			ttl = int64(c.config.number("default_ttl_ms"))
		}
	}
	switch {
	case len(o.tags)+len(o.keys) > 0:
		err = &Error{Status: ErrUnsupported, Message: "an entry with tags or keys is stored by a load, and not in SQL"}
	case c.Setting("encryption") != "off", c.Setting("digests") != "plain":
		err = &Error{Status: ErrUnsupported, Message: "SQL cannot encrypt: entries of this cache are stored by the library alone"}
	case key == "":
		err = invalid("the key is empty")
	case len(key) > raw.KEY_MAX:
		err = &Error{Status: ErrTooLarge, Message: fmt.Sprintf("a key has up to %d bytes", raw.KEY_MAX)}
	case len(value) > c.config.number("max_value_bytes"):
		err = &Error{Status: ErrTooLarge, Message: "the value is longer than the setting max_value_bytes allows"}
	case ttl <= 0:
		err = invalid("a ttl is positive")
	case o.format < 0:
		err = invalid("a format is 0 or positive")
	case len(namespace) > raw.NAMESPACE_MAX || strings.IndexFunc(namespace, func(r rune) bool { return r < '!' || r > '~' }) >= 0:
		err = invalid(fmt.Sprintf("a namespace has 1 to %d visible ASCII characters", raw.NAMESPACE_MAX))
	}
	if err != nil {
		return "", nil, err
	}
	var lives any // NULL is for ever
	if ttl != raw.TTL_NEVER {
		if ttl > raw.TTL_MAX {
			ttl = raw.TTL_MAX // as the server would, but its intervals go only so far
		}
		lives = ttl
	}
	if value == nil {
		value = []byte{}
	}
	return `SELECT "` + c.schema + `".put(key => $1::bytea, value => $2::bytea, ttl => $3::bigint * interval '1 millisecond', ` +
		`namespace => $4::text, format => $5::integer)`, []any{[]byte(key), value, lives, namespace, int32(o.format)}, nil
}

// PutStatement is that of [Cache.PutStatement] with a value of the type.
func (t *Typed[T]) PutStatement(key string, value T, opts ...Option) (query string, args []any, err error) {
	data, format, err := encode(value, t.codec)
	if err != nil {
		return "", nil, err
	}
	return t.cache.PutStatement(key, data, append(t.opts(opts), Format(format))...)
}
