// Command gatehouse is a self-hosted OAuth 2 and OpenID Connect server, and the tool that
// administers it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // an image made from scratch has no time zones

	"github.com/gatehouse-id/gatehouse/internal/app"
)

func main() {
	app.EnsureRoots()
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		first := <-signals
		// The first signal asks to finish what has begun. From then on the signals have their usual
		// effect again, so that the second one ends the process.
		signal.Stop(signals)
		if first == os.Interrupt {
			stop(app.Interrupted{})
		}
		stop(nil)
	}()
	os.Exit(app.Main(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
