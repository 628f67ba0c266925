//go:build !unix

package app

import "os"

// lockFile creates a file. This system has no locks that end with their process.
func lockFile(name string) (*os.File, error) { return os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600) }

// lockFolder opens a folder. This system has no locks that end with their process.
func lockFolder(name string) (*os.File, error) { return os.Open(name) }
