package console

import "github.com/gatehouse-id/gatehouse/internal/admin"

// section is one entry of the navigation with its pages.
type section struct {
	path   string // below Root, where its first page is; "" is the overview
	name   string // in the navigation
	icon   string
	group  string      // heading of the navigation, or ""
	scope  admin.Scope // without it the entry is not shown
	routes []route
	views  []View            // an empty view of each page
	notes  map[string]string // what the parameter done of an address says has been done
}

// route is a pattern for http.ServeMux, its handler, and the operations of package admin that it
// shows.
type route struct {
	pattern string
	ops     []string
	serve   handler
}

// allSections returns the sections in the order of the navigation.
func (s *Server) allSections() []section {
	return []section{
		s.overviewSection(),
		s.userSection(),
		s.roleSection(),
		s.sessionSection(),
		s.clientSection(),
		s.scopeSection(),
		s.routeSection(),
		s.registrationSection(),
		s.auditSection(),
		s.webhookSection(),
		s.mailSection(),
		s.keySection(),
		s.backupSection(),
		s.settingSection(),
		s.configSection(),
		s.doctorSection(),
	}
}

// MenuGroup is a part of the navigation.
type MenuGroup struct {
	Name  string // or ""
	Items []MenuItem
}

// MenuItem is an entry of the navigation.
type MenuItem struct {
	Name, Icon, URL string
	Current         bool
}

// menu returns the navigation of an administrator.
func (s *Server) menu(q *request) []MenuGroup {
	var groups []MenuGroup
	for _, sec := range s.sections {
		if sec.scope != "" && !q.actor.Can(sec.scope) {
			continue
		}
		if len(groups) == 0 || groups[len(groups)-1].Name != sec.group {
			groups = append(groups, MenuGroup{Name: sec.group})
		}
		g := &groups[len(groups)-1]
		g.Items = append(g.Items, MenuItem{
			Name:    sec.name,
			Icon:    sec.icon,
			URL:     Root + sec.path,
			Current: sec.path == q.section,
		})
	}
	return groups
}

// note returns what has just been done, as the parameter done of an address names it, or "".
func (s *Server) note(q *request) string {
	for _, sec := range s.sections {
		if sec.path == q.section {
			return sec.notes[q.form.Get("done")]
		}
	}
	return ""
}
