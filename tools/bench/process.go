package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is USER_HZ, the unit of times in /proc/PID/stat: 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// A process is a server of ours, in a process of its own.
type process struct {
	cmd  *exec.Cmd
	log  string // file with its standard error
	done chan error
}

// startProcess starts a command that ends with this program, however that ends. Its output goes to
// a file: what a server spends on its log counts.
func startProcess(cmd *exec.Cmd, log string, stop syscall.Signal) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = f
	}
	cmd.Stderr = f
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = stop
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, done: make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// stop asks the process to end and waits for it; one that does not end in time is killed.
func (p *process) stop(sig syscall.Signal, within time.Duration) error {
	_ = p.cmd.Process.Signal(sig)
	select {
	case err := <-p.done:
		p.done <- err
		return nil
	case <-time.After(within):
		_ = p.cmd.Process.Kill()
		return fmt.Errorf("%s did not end within %s and was killed", p.cmd.Path, within)
	}
}

// await calls ready until it answers nil, the process ends, or the time is over.
func (p *process) await(within, every time.Duration, ready func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case end := <-p.done:
			p.done <- end
			return fmt.Errorf("%s ended (%v): %s", p.cmd.Path, end, p.tail())
		case <-time.After(every):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %s: %w\n%s", p.cmd.Path, within, err, p.tail())
		}
	}
}

// tail returns the end of the process's log.
func (p *process) tail() string {
	raw, _ := os.ReadFile(p.log)
	return string(raw[max(0, len(raw)-2000):])
}

// cpu returns the processor time that the process has used.
func (p *process) cpu() time.Duration {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	d, _ := parseStat(string(raw)) // a process that has gone used nothing in this pass
	return d
}

// memory returns the resident memory of the process in bytes, now and at most.
func (p *process) memory() (now, peak int64) {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	return parseStatus(string(raw), "VmRSS"), parseStatus(string(raw), "VmHWM")
}

// forgetPeak sets the peak of the process's memory to what it has now (proc(5), clear_refs).
func (p *process) forgetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
}

// parseStat reads user and system time out of /proc/PID/stat. The name before them may hold blanks
// and parentheses.
func parseStat(text string) (time.Duration, error) {
	i := strings.LastIndexByte(text, ')')
	if i < 0 {
		return 0, errors.New("no name in it")
	}
	fields := strings.Fields(text[i+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("only %d fields", len(fields))
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// parseStatus reads one size out of /proc/PID/status, in bytes; 0 if it is not there.
func parseStatus(text, name string) int64 {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		return kb << 10
	}
	return 0
}
