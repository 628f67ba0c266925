package text

import "strings"

// Device returns the words for a program on a system, such as Chrome on Windows. Both are names, or
// "" where they are not known.
func (t *Texts) Device(program, system string) string {
	program = t.program(program)
	switch {
	case program == "" && system == "":
		return t.Get("common.device.unknown")
	case program == "":
		return Isolate(t, system)
	case system == "":
		return Isolate(t, program)
	}
	return t.Get("common.device.on", "Program", program, "System", system)
}

// program returns the name of a program, or what it is.
func (t *Texts) program(name string) string {
	switch name {
	case "Desktop app":
		return t.Get("common.device.app")
	case "Browser":
		return t.Get("common.device.browser")
	case "Gatehouse command line":
		return t.Get("common.device.command-line")
	}
	if language, ok := strings.CutSuffix(name, " program"); ok {
		return t.Get("common.device.program", "Language", language)
	}
	if browser, ok := strings.CutSuffix(name, " (headless)"); ok {
		return t.Get("common.device.headless", "Program", browser)
	}
	return name
}
