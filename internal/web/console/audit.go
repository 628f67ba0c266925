package console

import "github.com/gatehouse-id/gatehouse/internal/audit"

// explainRows adds a link to the explanation of each failed request.
func explainRows(t *Table, events []audit.Event) {
	for i := range t.Rows {
		if id := events[i].RequestID; id != "" {
			t.Rows[i].Links = append(t.Rows[i].Links, Link{"Explain", with(Root+"/audit/explain", "request", id)})
		}
	}
}
