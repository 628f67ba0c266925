//go:build !linux

package app

// freeSpace returns that it is unknown.
func freeSpace(string) int64 { return -1 }
