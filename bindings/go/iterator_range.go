// SPDX-License-Identifier: MIT

//go:build go1.23

package pgcache

import "iter"

// All gives the elements for range, and after them the error, if there was one:
//
//	for key, err := range cache.Keys(ctx, "customer:").All() {
func (i *Iterator[T]) All() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for i.Next() {
			if !yield(i.Value(), nil) {
				return
			}
		}
		if i.err != nil {
			var none T
			yield(none, i.err)
		}
	}
}
