package console

import (
	"bufio"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/spreadsheet"
)

// exportClients sends the clients of the list as CSV, page by page. An error after the first bytes
// ends the connection, so that nobody takes a part for the whole.
func (s *Server) exportClients(w http.ResponseWriter, r *http.Request, q *request) error {
	file := newDownload(w, "clients.csv", "text/csv; charset=utf-8")
	out := bufio.NewWriterSize(file, exportBuffer)
	err := s.writeClients(r, q, out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil && file.begun {
		panic(http.ErrAbortHandler)
	}
	return err
}

func (s *Server) writeClients(r *http.Request, q *request, out *bufio.Writer) error {
	err := spreadsheet.WriteRow(out, "client_id", "client_name", "type", "disabled", "grant_types",
		"scope", "redirect_uris", "created_at")
	query := clientQuery(q.form, q.now)
	query.Page = admin.Page{Limit: pageSize}
	for err == nil {
		page, readErr := s.ops.Clients(persistent(r), q.actor, query)
		if readErr != nil {
			return readErr
		}
		for _, c := range page.Items {
			kind, disabled := admin.ClientConfidential, ""
			if c.Public {
				kind = admin.ClientPublic
			}
			if c.Disabled {
				disabled = "true"
			}
			err = spreadsheet.WriteRow(out, string(c.ID), c.Name, kind, disabled, strings.Join(c.Grants, " "),
				strings.Join(c.Scopes, " "), strings.Join(c.Redirects, " "), c.CreatedAt.UTC().Format(time.RFC3339))
			if err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		query.Page.Cursor = page.Next
	}
	return err
}
