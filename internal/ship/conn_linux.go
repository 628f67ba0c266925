package ship

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacknowledged returns how many bytes of a connection the other machine has not acknowledged.
func unacknowledged(c *net.TCPConn) (n int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var result error
	err = raw.Control(func(fd uintptr) { n, result = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if err == nil {
		err = result
	}
	return n, err
}
