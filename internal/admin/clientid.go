package admin

import (
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// checkClientID rejects ids that would mean something else in the addresses of the management API.
func checkClientID(id client.ID) error {
	reserved := []client.ID{".", "..", "import", "export", "rotate", "bulk"}
	if slices.Contains(reserved, id) {
		return fault.InvalidField("client_id", "%q cannot be the id of a client; choose another one", id)
	}
	return nil
}
