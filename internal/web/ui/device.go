package ui

import "github.com/gatehouse-id/gatehouse/internal/visitor"

// Agent is a device in words.
type Agent = visitor.Agent

// DescribeAgent returns the device that a User-Agent header names, in English.
func DescribeAgent(ua string) Agent { return visitor.Describe(ua) }

// Device returns the device that a User-Agent header names, in words of the page's language.
func (b Base) Device(ua string) Agent {
	a := visitor.Describe(ua)
	a.Words = b.texts.Device(a.Program, a.System)
	return a
}
