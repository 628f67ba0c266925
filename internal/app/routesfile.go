package app

import (
	"fmt"
	"os"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// maxRoutesFile bounds the file that ROUTES_FILE names, in bytes.
const maxRoutesFile = 16 << 20

// routesFile reads the file that ROUTES_FILE names. It returns an empty file when the setting is
// empty.
func routesFile(cfg *config.Config) (*access.File, error) {
	name := cfg.Gateway.RoutesFile
	if name == "" {
		return &access.File{}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("ROUTES_FILE cannot be read: %w", err)
	}
	if info.Size() > maxRoutesFile {
		return nil, fault.New(fault.Invalid, "ROUTES_FILE names %s, which is larger than %d bytes", name, maxRoutesFile)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("ROUTES_FILE cannot be read: %w", err)
	}
	f, err := access.ReadFile(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}
