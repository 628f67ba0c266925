package cli

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// settingsCommand shows the settings in force.
type settingsCommand struct {
	All bool `help:"Also those that are at their defaults."`
}

// settingInForce is a setting as the command line shows it. A secret has no value.
type settingInForce struct {
	Name        string  `json:"name"`
	Group       string  `json:"group"`
	Value       *string `json:"value"`
	Default     string  `json:"default"`
	Source      string  `json:"source"`
	Description string  `json:"description"`
}

// Run prints a line for each setting.
func (f *settingsCommand) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		all, err := ops.Settings(ctx, a)
		if err != nil {
			return err
		}
		var views []settingInForce
		for _, x := range all {
			if !f.All && !x.Secret && x.Value == x.Default {
				continue
			}
			v := settingInForce{x.Name, x.Group, nil, x.Default, x.Source, x.Description}
			if !x.Secret {
				v.Value = &x.Value
			}
			views = append(views, v)
		}
		return showList(c, views, len(views), func(s *table) {
			s.row("NAME", "VALUE", "SOURCE")
			for _, v := range views {
				value := "(secret)"
				if v.Value != nil {
					value = strings.Join(strings.Fields(*v.Value), " ")
				}
				s.row(v.Name, value, v.Source)
			}
		})
	})
}
