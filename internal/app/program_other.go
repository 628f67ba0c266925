//go:build !linux

package app

// unmapProgram does nothing: other systems do not say where the program is mapped.
func unmapProgram() {}
