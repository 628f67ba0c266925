package cli

import "runtime"

// versionCommand prints the version.
type versionCommand struct{}

// Run prints the version, and what it was built with.
func (*versionCommand) Run(c *call) error {
	answer := struct {
		Version  string `json:"version"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{c.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	return c.show(answer, func(s *table) { s.line("%s %s (%s, %s)", program, answer.Version, answer.Go, answer.Platform) })
}
