package console

import (
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// settingSection shows the settings of the server.
func (s *Server) settingSection() section {
	return section{
		path:   "/settings",
		name:   "Settings",
		icon:   "gear",
		group:  "System",
		scope:  admin.ScopeSettingsRead,
		routes: []route{{"GET /admin/settings", []string{"Settings"}, s.showSettings}},
		views:  []View{&SettingsView{}},
	}
}

// SettingsView lists the settings of the server in groups.
type SettingsView struct {
	Base
	Search Search
	Groups []SettingGroup
	Empty  *Empty // instead of the list, or nil
	Same   Same
}

// SettingGroup is a part of the settings.
type SettingGroup struct {
	Name  string
	Table Table
}

// Page names the template.
func (*SettingsView) Page() string { return "settings" }

func (s *Server) showSettings(w http.ResponseWriter, r *http.Request, q *request) error {
	all, err := s.ops.Settings(r.Context(), q.actor)
	if err != nil {
		return err
	}
	v := &SettingsView{Base: s.begin(r, q, "Settings")}
	v.Lead = "As they are in force on this server. They are changed in the environment or the settings file, where the server is started."
	v.Search = settingSearch(q, all)
	words := strings.Fields(strings.ToLower(q.form.Get("search")))
	for _, x := range all {
		if !settingMatches(&x, words, q.form.Get("group"), q.form.Get("show")) {
			continue
		}
		n := len(v.Groups)
		if n == 0 || v.Groups[n-1].Name != x.Group {
			v.Groups = append(v.Groups, SettingGroup{Name: x.Group, Table: Table{Caption: x.Group, Columns: []Column{
				{Name: "Setting"}, {Name: "Value"}, {Name: "Source"},
			}}})
			n++
		}
		v.Groups[n-1].Table.Rows = append(v.Groups[n-1].Table.Rows, settingRow(&x))
	}
	if len(v.Groups) == 0 {
		v.Empty = &Empty{
			Icon: "search", Title: "No setting matches", Text: "Search for a part of a name or a description.",
			Link: &Link{"Show all settings", Root + "/settings?show=all"},
		}
	}
	v.Same = s.same("GET", "/api/v1/settings", nil, "help", "settings")
	return s.show(w, http.StatusOK, v)
}

// settingSearch returns the form that searches and filters the settings.
func settingSearch(q *request, all []admin.Setting) Search {
	groups := []string{"", "All"}
	for i := range all {
		if name := all[i].Group; groups[len(groups)-1] != name {
			groups = append(groups, name, name)
		}
	}
	return Search{
		Action: Root + "/settings",
		Label:  "Search settings",
		Hint:   "Name or description",
		Text:   q.form.Get("search"),
		Active: q.form.Get("search") != "" || q.form.Get("group") != "" || q.form.Get("show") != "",
		Filters: []Filter{
			newFilter(q.form, "group", "Group", groups...),
			newFilter(q.form, "show", "Show", "", "All", "set", "Set here", "default", "Defaults"),
		},
	}
}

func settingMatches(x *admin.Setting, words []string, group, show string) bool {
	set := x.Source != "default"
	if group != "" && x.Group != group || show == "set" && !set || show == "default" && set {
		return false
	}
	text := strings.ToLower(x.Name + " " + x.Description)
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// settingRow returns the line of a setting.
func settingRow(x *admin.Setting) Row {
	value := Cell{Text: x.Value, Code: true, Never: "Empty"}
	switch {
	case x.Secret:
		value = Cell{Never: "Set, not shown"}
	case x.Source != "default" && x.Default != "" && x.Default != x.Value:
		value.Sub = "Default: " + x.Default
	}
	source := badgeCell("plain", "Default")
	if x.Source != "default" {
		source = badgeCell("good", fieldLabel(x.Source))
	}
	return Row{ID: x.Name, Name: x.Name, Cells: []Cell{{Text: x.Name, Code: true, Sub: x.Description}, value, source}}
}
