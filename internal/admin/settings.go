package admin

import "context"

// Setting is a setting of the server, as it is in force.
type Setting struct {
	Name        string
	Group       string
	Value       string // "" for a secret
	Secret      bool   // the value is not shown
	Default     string
	Source      string // where the value comes from
	Description string
}

// Settings returns the settings of the server, in the order of their reference.
func (o *Operations) Settings(_ context.Context, a Actor) ([]Setting, error) {
	if err := o.authorize(a, ScopeSettingsRead); err != nil {
		return nil, err
	}
	if o.parts.Settings == nil {
		return nil, nil
	}
	return o.parts.Settings(), nil
}
