// SPDX-License-Identifier: MIT

package pgcache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// A Codec writes values as bytes of one format and reads them back, see [NewTyped]. JSON is there; for other formats an application brings
// its own, with the same number in all languages.
type Codec interface {
	// Format is the number that is stored with what Encode gives.
	Format() ValueFormat
	// Encode writes a value.
	Encode(value any) ([]byte, error)
	// Decode reads into what the pointer points to.
	Decode(data []byte, pointer any) error
}

// JSON is the codec of FormatJSON: UTF-8, without NaN and Infinity. Into an any numbers come as json.Number, and so exactly.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) Format() ValueFormat { return FormatJSON }

func (jsonCodec) Encode(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (jsonCodec) Decode(data []byte, pointer any) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8") // which encoding/json would change without a word
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(pointer); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("there is more behind the value")
	}
	return nil
}

// formatError never tells what the value is; its cause, which may, is for those who unwrap it.
func formatError(cause error, format string, args ...any) error {
	return &Error{Status: ErrFormat, Message: fmt.Sprintf(format, args...), cause: cause}
}

// encode gives a value's bytes: those of a []byte are stored as they are, all others go through the codec.
func encode(value any, codec Codec) ([]byte, ValueFormat, error) {
	if data, ok := value.([]byte); ok {
		return data, FormatBytes, nil
	}
	data, err := codec.Encode(value)
	if err != nil {
		return nil, 0, formatError(err, "a %T cannot be written in format %d", value, codec.Format())
	}
	return data, codec.Format(), nil
}

// decode reads an entry's value into what pointer points to, by the entry's format.
func decode(entry *Entry, pointer any, codec Codec) error {
	format := entry.Format
	switch to := pointer.(type) {
	case *[]byte:
		if format == FormatBytes {
			*to = entry.Value
			return nil
		}
		return formatError(nil, "the entry has format %d, and is read as bytes", format)
	case *any:
		if format == FormatBytes {
			*to = entry.Value
			return nil
		}
	}
	if format != codec.Format() {
		if format != FormatJSON {
			return formatError(nil, "the entry has format %d, which no codec here reads", format)
		}
		codec = JSON
	}
	if err := codec.Decode(entry.Value, pointer); err != nil {
		return formatError(err, "the entry of format %d cannot be read into a %T", format, pointer)
	}
	return nil
}
