package field

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// UnmarshalValue stores in t the value that MarshalValue wrote: null clears the field. The value is
// taken as it is, because what was stored is in its stored form already.
func (f Field[T]) UnmarshalValue(t *T, raw json.RawMessage) error {
	if string(raw) == "null" {
		f.Clear(t)
		return nil
	}
	var err error
	switch {
	case f.Text != nil:
		err = json.Unmarshal(raw, f.Text(t))
	case f.Switch != nil:
		err = json.Unmarshal(raw, f.Switch(t))
	case f.List != nil:
		err = f.unmarshalList(t, raw)
	case f.TTL != nil:
		err = f.unmarshalTTL(t, raw)
	case f.Int != nil:
		err = json.Unmarshal(raw, f.Int(t))
	case f.Bytes != nil:
		err = json.Unmarshal(raw, f.Bytes(t))
	case f.JSON != nil:
		*f.JSON(t) = slices.Clone(raw)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return nil
}

func (f Field[T]) unmarshalList(t *T, raw json.RawMessage) error {
	var items []string
	if f.Joined {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		items = strings.Fields(text)
	} else if err := json.Unmarshal(raw, &items); err != nil {
		return err
	}
	if len(items) == 0 {
		items = nil
	}
	*f.List(t) = items
	return nil
}

func (f Field[T]) unmarshalTTL(t *T, raw json.RawMessage) error {
	if f.Spelled {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		d, err := time.ParseDuration(text)
		*f.TTL(t) = d
		return err
	}
	var seconds int64
	err := json.Unmarshal(raw, &seconds)
	*f.TTL(t) = time.Duration(seconds) * time.Second
	return err
}

// Members returns the members of a JSON document that a patch stands for: the new value of each
// field that changes, and null for one that is cleared.
func (p *Patch[T]) Members(fields []Field[T]) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for _, f := range fields {
		if !p.Has(f.Name) {
			continue
		}
		raw, err := f.MarshalValue(&p.Values)
		if err != nil {
			return nil, err
		}
		if f.IsZero(&p.Values) && f.Switch == nil || len(raw) == 0 {
			raw = json.RawMessage("null")
		}
		out[f.Name] = raw
	}
	return out, nil
}
