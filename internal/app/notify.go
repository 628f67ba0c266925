package app

import (
	"net"
	"strings"
)

// notify sends a state such as "READY=1" to the service manager that started this process
// (sd_notify(3)). Without a service manager that listens it does nothing. A message that is lost
// costs a line of the manager's log, and must not end the server.
func notify(e *env, state string) {
	name := e.getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	if strings.HasPrefix(name, "@") { // of the abstract namespace
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}
