package console

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// overviewSection returns the first page.
func (s *Server) overviewSection() section {
	return section{
		name: "Overview",
		icon: "home",
		routes: []route{
			{"GET /admin", []string{"Events"}, s.showOverview},
			{"GET /admin/{$}", nil, func(w http.ResponseWriter, r *http.Request, _ *request) error {
				return seeOther(w, r, Root)
			}},
		},
		views: []View{&OverviewView{}},
	}
}

// OverviewView is the first page.
type OverviewView struct {
	Base
	Events Table
}

// Page names the template.
func (*OverviewView) Page() string { return "overview" }

func (s *Server) showOverview(w http.ResponseWriter, r *http.Request, q *request) error {
	v := &OverviewView{Base: s.begin(r, q, "Overview")}
	if q.actor.Can(admin.ScopeAuditRead) {
		page, err := s.ops.Events(r.Context(), q.actor, admin.AuditQuery{Limit: fewEvents})
		if err != nil {
			return err
		}
		v.Events = s.eventTable(&v.Base, "Last events", page, true)
	}
	return s.show(w, http.StatusOK, v)
}
