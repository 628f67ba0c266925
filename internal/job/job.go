// Package job runs periodic work, such as deleting expired rows, on one of the servers that share
// a database: before each run a job takes its lease.
package job

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	minLease = time.Minute      // so that a frequent job does not change servers all the time
	firstRun = 10 * time.Second // all jobs have run once by then
)

// Leases grants named leases that expire.
type Leases interface {
	// AcquireLease takes the lease for holder for ttl if it is free, has expired or is
	// holder's already, and reports whether it did.
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
}

// A Job is one kind of periodic work.
type Job struct {
	Name  string
	Every time.Duration
	// Run does the work. Its context ends when the runner stops, and before the lease does.
	Run func(ctx context.Context, now time.Time) error
}

// A Runner runs jobs. Set the fields and Add the jobs before Run.
type Runner struct {
	Leases  Leases
	Holder  string                      // names this server; unique
	Now     func() time.Time            // nil for time.Now
	OnError func(job string, err error) // receives errors and panics, in several goroutines; may be nil
	OnRun   func(job string, err error) // is called after each run, in several goroutines; may be nil

	jobs    []Job
	running atomic.Int64
}

// Running reports whether a job runs now.
func (r *Runner) Running() bool { return r.running.Load() > 0 }

// PanicError is a panic in a job.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the value of the panic.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Add adds a job. It panics on an invalid job, which is a mistake in the program.
func (r *Runner) Add(j Job) {
	if j.Name == "" || j.Every <= 0 || j.Run == nil {
		panic("job: a job needs a name, a period and a function")
	}
	for _, other := range r.jobs {
		if other.Name == j.Name {
			panic("job: two jobs are called " + j.Name)
		}
	}
	r.jobs = append(r.jobs, j)
}

// Len returns the number of jobs.
func (r *Runner) Len() int { return len(r.jobs) }

// Run runs the jobs until ctx ends, and returns when the last one has returned.
func (r *Runner) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, j := range r.jobs {
		wg.Go(func() { r.repeat(ctx, j) })
	}
	wg.Wait()
}

func (r *Runner) repeat(ctx context.Context, j Job) {
	timer := time.NewTimer(rand.N(min(j.Every, firstRun)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := r.once(ctx, j)
		stopped := ctx.Err() != nil && errors.Is(err, context.Canceled)
		if err != nil && !stopped && r.OnError != nil {
			r.OnError(j.Name, err)
		}
		timer.Reset(jittered(j.Every))
	}
}

// once runs a job if this server gets its lease.
func (r *Runner) once(ctx context.Context, j Job) error {
	ttl := max(j.Every, minLease)
	// The deadline starts before the lease, so that the run ends first.
	ctx, cancel := context.WithTimeout(ctx, ttl)
	defer cancel()
	now := r.now()
	acquired, err := r.Leases.AcquireLease(ctx, j.Name, r.Holder, ttl)
	if err != nil {
		return fmt.Errorf("the lease could not be acquired: %w", err)
	}
	if !acquired {
		return nil
	}
	r.running.Add(1)
	err = call(ctx, j, now)
	r.running.Add(-1)
	if r.OnRun != nil {
		r.OnRun(j.Name, err)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return fmt.Errorf("the job did not end within %s: %w", ttl, err)
	}
	return err
}

// call runs the job and returns a panic as an error.
func call(ctx context.Context, j Job, now time.Time) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return j.Run(ctx, now)
}

func (r *Runner) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// jittered returns a duration up to a tenth shorter or longer, so that servers that start
// together do not ask for leases together.
func jittered(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - d/10 + rand.N(d/5)
}
