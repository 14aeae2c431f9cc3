// SPDX-License-Identifier: MIT

package pgcache

// An Iterator gives one element after the other, and reads them from the server in pages:
//
//	keys := cache.Keys(ctx, "customer:")
//	for keys.Next() {
//		fmt.Println(keys.Value().Key)
//	}
//	if err := keys.Err(); err != nil { ... }
//
// With Go 1.23 and newer All is for range. An iterator is one goroutine's at a time, and needs no closing.
type Iterator[T any] struct {
	more  func() (page []T, last bool, err error)
	page  []T
	value T
	last  bool
	err   error
}

// Next goes to the next element; false: there is none, or an error, see Err.
func (i *Iterator[T]) Next() bool {
	for len(i.page) == 0 {
		if i.last || i.err != nil {
			return false
		}
		i.page, i.last, i.err = i.more()
	}
	i.value, i.page = i.page[0], i.page[1:]
	return true
}

// Value is the element that Next went to.
func (i *Iterator[T]) Value() T { return i.value }

// Err says why Next gave false; nil: there are no more elements.
func (i *Iterator[T]) Err() error { return i.err }
