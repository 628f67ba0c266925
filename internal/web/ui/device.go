package ui

import "github.com/gatehouse-id/gatehouse/internal/visitor"

// Agent is a device in words.
type Agent = visitor.Agent

// DescribeAgent returns the device that a User-Agent header names.
func DescribeAgent(ua string) Agent { return visitor.Describe(ua) }
