// Package systemd holds the units with which systemd runs Gatehouse, for the packages of
// distributions and for `gatehouse install systemd`.
package systemd

import "embed"

//go:embed gatehouse.service gatehouse.socket gatehouse.conf
var files embed.FS

// File returns one of gatehouse.service, gatehouse.socket and gatehouse.conf, the last of which
// describes the user (sysusers.d(5)).
func File(name string) ([]byte, error) { return files.ReadFile(name) }
