package app

import "runtime/debug"

// release is the version of a released binary. The linker sets it with the flag
// -X github.com/gatehouse-id/gatehouse/internal/app.release=v0.1.0.
var release string

// version returns the version of this binary.
func version() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(release, info)
}

// versionOf returns the version that the linker set, or else the tag that the module was built
// from, or else "devel" with the commit. It returns "devel" alone without information about the
// build.
func versionOf(release string, info *debug.BuildInfo) string {
	const devel = "(devel)"
	switch {
	case release != "":
		return release
	case info == nil:
		return "devel"
	case info.Main.Version != "" && info.Main.Version != devel:
		return info.Main.Version
	}
	commit, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			commit = "-" + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+modified"
		}
	}
	return "devel" + commit + modified
}
