//go:build !linux

package app

// writable returns that nothing is known against it.
func writable(string) error { return nil }

// sameDisk returns that it is unknown.
func sameDisk(string, string) bool { return false }
