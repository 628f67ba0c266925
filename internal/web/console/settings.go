package console

import (
	"net/http"
	"slices"
	"strconv"
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
	Pager  Pager
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
	all = slices.DeleteFunc(slices.Clone(all), func(x admin.Setting) bool {
		return !settingMatches(&x, words, q.form.Get("group"), q.form.Get("show"))
	})
	v.Pager, all = settingPage(q, all)
	for _, x := range all {
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
	v.Same = s.same("GET", "/api/v1/settings", nil, "settings", "--all")
	return s.show(w, http.StatusOK, v)
}

// settingPageSize is how many settings a page lists: all of them are more than a phone should load.
const settingPageSize = 80

// settingPage returns the settings of one page, and what leads to the others.
func settingPage(q *request, all []admin.Setting) (Pager, []admin.Setting) {
	filters := []string{"search", "group", "show"}
	offset, err := strconv.Atoi(q.form.Get("offset"))
	if err != nil || offset < 0 || offset > len(all) {
		offset = 0
	}
	pager := Pager{Total: count(len(all), "setting")}
	if offset > 0 {
		pager.First = keep(Root+"/settings", q.form, filters)
	}
	next := offset + settingPageSize
	if next < len(all) {
		pager.Next = keep(Root+"/settings", q.form, filters, "offset", strconv.Itoa(next))
	}
	return pager, all[offset:min(next, len(all))]
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
