package console

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// exportClients sends the clients of the list as CSV. An error after the first bytes ends the
// connection, so that nobody takes a part for the whole.
func (s *Server) exportClients(w http.ResponseWriter, r *http.Request, q *request) error {
	file := newDownload(w, "clients.csv", "text/csv; charset=utf-8")
	in := admin.ClientExport{Query: clientQuery(q.form, q.now), Format: admin.FormatCSV}
	_, err := s.ops.ExportClients(persistent(r), q.actor, in, file)
	if err != nil && file.begun {
		panic(http.ErrAbortHandler)
	}
	return err
}
