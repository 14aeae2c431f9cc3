// SPDX-License-Identifier: MIT

package pgcache

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// An OpenOption says how a cache is opened.
type OpenOption func(*opening)

type opening struct {
	settings  []setting
	janitor   time.Duration
	providers []Provider
}

type setting struct{ name, value string }

// Setting sets one of the library's settings, see [Settings]: text as it is, numbers, true and false as on and off, and a
// time.Duration in milliseconds. Open refuses names and values that the library does not know.
func Setting(name string, value any) OpenOption {
	text := fmt.Sprint(value)
	switch v := value.(type) {
	case bool:
		text = map[bool]string{true: "on", false: "off"}[v]
	case time.Duration:
		text = strconv.FormatInt(spanOf(v), 10)
		if v == Forever {
			text = "never"
		}
	}
	return func(o *opening) { o.settings = append(o.settings, setting{name, text}) }
}

// JanitorEvery sets the interval of the janitor that Open starts, which deletes what has expired; 0: none is started. It is a minute
// without this.
func JanitorEvery(interval time.Duration) OpenOption {
	return func(o *opening) { o.janitor = interval }
}

// Instrument has a provider told of each operation of the cache. Several may be given.
func Instrument(provider Provider) OpenOption {
	return func(o *opening) { o.providers = append(o.providers, provider) }
}

// config makes a configuration; to be given to raw.Config_free.
func (o *opening) config(address string) (*raw.Config, error) {
	if strings.IndexByte(address, 0) >= 0 {
		return nil, &Error{Status: ErrBadSetting, Message: "the address has a NUL byte"}
	}
	f := newFrame(defaults)
	defer f.release()
	var config *raw.Config
	if err := f.refusal(raw.Config_new(&config, f.err())); err != nil {
		return nil, err
	}
	set := func(name, value string) int32 { return raw.Config_set(config, name, value, f.err()) }
	status := set(o.settings[0].name, o.settings[0].value)
	if status == raw.OK {
		status = raw.Config_load_environment(config, f.err())
	}
	if status == raw.OK && address != "" {
		status = set("url", address)
	}
	for _, s := range o.settings[1:] {
		if status != raw.OK {
			break
		}
		if strings.IndexByte(s.name, 0) >= 0 || strings.IndexByte(s.value, 0) >= 0 {
			raw.Config_free(config)
			return nil, &Error{Status: ErrBadSetting, Message: "a setting's name or value has a NUL byte"}
		}
		status = set(s.name, s.value)
	}
	if status != raw.OK {
		err := f.refusal(status)
		raw.Config_free(config)
		return nil, err
	}
	return config, nil
}

// A SettingInfo is what there is to know about one setting.
type SettingInfo struct {
	// Name is what Setting takes, such as "pool_max".
	Name string
	// Default is the library's, "" where there is none.
	Default string
	// Allowed says which values there are.
	Allowed string
	// Environment is the variable that sets it.
	Environment string
	// Description is one sentence, with the unit.
	Description string
}

// settingInfo has the layout of pgcache_setting.
type settingInfo struct {
	structSize                                         uintptr
	name, byDefault, allowed, environment, description *byte
}

// Settings tells all settings of the library.
func Settings() []SettingInfo {
	var all []SettingInfo
	for {
		one := settingInfo{}
		one.structSize = unsafe.Sizeof(one)
		if raw.Config_describe(unsafe.Pointer(&one), int64(len(all)), nil) != raw.OK {
			return all
		}
		all = append(all, SettingInfo{textOf(one.name), textOf(one.byDefault), textOf(one.allowed),
			textOf(one.environment), textOf(one.description)})
	}
}

// InitSQL gives the SQL that Init would run with these settings, for an administrator. No server is asked, and no address is needed.
func InitSQL(options ...OpenOption) (string, error) {
	o := opening{settings: []setting{{"on_error", "miss"}}}
	for _, option := range options {
		option(&o)
	}
	config, err := o.config("")
	if err != nil {
		return "", err
	}
	defer raw.Config_free(config)
	f := newFrame(defaults)
	defer f.release()
	var value *raw.Value
	if err := f.refusal(raw.Init_sql(&value, config, f.err())); err != nil {
		return "", err
	}
	return string(takeValue(value)), nil
}

// takeValue copies a value and frees it.
func takeValue(value *raw.Value) []byte {
	defer raw.Value_free(value)
	return bytesOf((*byte)(raw.Value_data(value)), uint64(raw.Value_size(value)))
}

// Version is that of the library that runs, such as "1.0.0".
func Version() string { return textOf(raw.Version()) }
