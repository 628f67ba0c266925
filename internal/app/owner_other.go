//go:build !unix

package app

// explainOwner returns the error as it is.
func explainOwner(err error, _ string) error { return err }
