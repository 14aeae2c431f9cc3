// SPDX-License-Identifier: MIT

package pgcache

import (
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// head has the layout of pgcache_go_head: it stands before the bytes of each dependency and item on their way to C, whose memory must
// not hold pointers to Go's.
type head struct {
	keyLen, valueLen uint64
	ttl              int64 // of a dependency its kind
	format           int64
}

func pack(to []byte, h head, key string, value []byte) []byte {
	h.keyLen, h.valueLen = uint64(len(key)), uint64(len(value))
	to = append(to, (*[unsafe.Sizeof(h)]byte)(unsafe.Pointer(&h))[:]...)
	to = append(to, key...)
	return append(to, value...)
}

// asText gives a string of the same bytes, without a copy: for C, which reads it during the call.
func asText(bytes []byte) string { return *(*string)(unsafe.Pointer(&bytes)) }

var errNoMemory = &Error{Status: ErrNoMemory, Message: "out of memory"}

// packed dependencies; nil where there are none. To be given to raw.Go_dependencies_free.
func (o *options) dependencies() (*raw.Dependencies, error) {
	count := len(o.tags) + len(o.keys)
	if count == 0 {
		return nil, nil
	}
	var bytes []byte
	for _, tag := range o.tags {
		bytes = pack(bytes, head{ttl: int64(raw.DEPENDS_ON_TAG)}, tag, nil)
	}
	for _, key := range o.keys {
		bytes = pack(bytes, head{ttl: int64(raw.DEPENDS_ON_KEY)}, key, nil)
	}
	made := raw.Go_dependencies_new(int64(count), asText(bytes))
	if made == nil {
		return nil, errNoMemory
	}
	return made, nil
}

// itemsOf packs keys; with values of puts. To be given to raw.Go_items_free.
func itemsOf(count int, element func(i int) (head, string, []byte)) (*raw.Items, error) {
	var bytes []byte
	for i := 0; i < count; i++ {
		h, key, value := element(i)
		bytes = pack(bytes, h, key, value)
	}
	made := raw.Go_items_new(int64(count), asText(bytes))
	if made == nil {
		return nil, errNoMemory
	}
	return made, nil
}
