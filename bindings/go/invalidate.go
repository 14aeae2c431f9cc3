// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// Invalidate ends all entries that depend on the options' Tags and Keys, at one moment, and loads of them that have begun. It does so in a
// transaction of its own; see [Cache.Invalidation] for the application's.
func (c *Cache) Invalidate(ctx context.Context, opts ...Option) error {
	o := optionsOf(opts)
	ctx, m := c.begin(ctx, "invalidate", o, o.keys...)
	what, err := o.dependencies()
	if err == nil {
		free := func() { raw.Go_dependencies_free(what) }
		var r reply
		r, err = c.do(ctx, o.withoutDependencies(), operation{
			direct:   func(h *raw.Cache, f *frame) int32 { return raw.Invalidate(h, what, f.opts(), f.err()) },
			submit:   func(h *raw.Cache, f *frame) int32 { return raw.Submit_invalidate(h, &f.id, what, f.opts(), f.err()) },
			writes:   true,
			leftover: free,
		})
		r.free()
		if !r.left {
			free()
		}
	}
	m.end(err)
	return err
}

func (o *options) withoutDependencies() *options {
	copied := *o
	copied.tags, copied.keys = nil, nil
	return &copied
}

// Invalidation gives a statement that invalidates the options' Tags and Keys inside of the application's own transaction, and its
// arguments, for any driver of PostgreSQL's:
//
//	query, args := cache.Invalidation(pgcache.Tags("customer:7"))
//	_, err := tx.ExecContext(ctx, query, args...)
//
// It takes effect with the commit, and after a rollback nothing has happened.
func (c *Cache) Invalidation(opts ...Option) (query string, args []any) {
	o := optionsOf(opts)
	namespace := o.namespace
	if namespace == "" {
		namespace = c.namespace
	}
	return `SELECT "` + c.schema + `".invalidate(tags => $1::text[], keys => $2::text[], namespace => $3::text)`,
		[]any{arrayOf(o.tags), arrayOf(o.keys), namespace}
}

// arrayOf writes an array as PostgreSQL reads it from text, which every driver can send.
func arrayOf(texts []string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, text := range texts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

// A DependentsReport tells what depends on what, see Dependents.
type DependentsReport struct {
	// Entries tells of each tag, and then of each key, how many entries depend on it.
	Entries []int64 `json:"entries"`
	// Tagged is how many entries depend on anything beside their own key.
	Tagged int64 `json:"tagged"`
	// Watched are the tables that end entries by themselves.
	Watched []WatchedTable `json:"watched"`
}

// A WatchedTable ends the entries of a tag when its rows change; it was made by the SQL function watch().
type WatchedTable struct {
	// Table is its name with its schema.
	Table string `json:"table"`
	// Namespace is that of the tag.
	Namespace string `json:"namespace"`
	// Tag may have columns in it, such as customer:<customerid>.
	Tag string `json:"tag"`
}

// Dependents tells how many entries depend on the options' Tags and Keys, and which tables are watched. It reads the whole table.
func (c *Cache) Dependents(ctx context.Context, opts ...Option) (*DependentsReport, error) {
	o := optionsOf(opts)
	ctx, m := c.begin(ctx, "dependents", o)
	report, err := c.dependents(ctx, o)
	m.end(err)
	return report, err
}

func (c *Cache) dependents(ctx context.Context, o *options) (*DependentsReport, error) {
	value := new(*raw.Value)
	f, err := c.blocking(ctx, o, c.core.maintenance, func(h *raw.Cache, f *frame) int32 {
		what, err := o.dependencies()
		if err != nil {
			return raw.NO_MEMORY
		}
		defer raw.Go_dependencies_free(what)
		return raw.Dependents(h, value, what, f.opts(), f.err())
	}, func(*frame) { raw.Value_free(*value) })
	if err != nil {
		return nil, err
	}
	f.release()
	report := new(DependentsReport)
	return report, json.Unmarshal(takeValue(*value), report)
}
