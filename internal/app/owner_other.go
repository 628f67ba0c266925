//go:build !unix

package app

import "os"

// explainOwner returns the error as it is.
func explainOwner(err error, _ string) error { return err }

// keepOwner does nothing.
func keepOwner(*os.File, os.FileInfo) {}
