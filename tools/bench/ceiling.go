package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// onAllCores counts how often f can be called a second by as many goroutines as there are
// processors.
func onAllCores(ctx context.Context, d time.Duration, f func() error) (float64, error) {
	return inParallel(ctx, runtime.GOMAXPROCS(0), d, f)
}

// inParallel counts how often f can be called a second by so many goroutines.
func inParallel(
	ctx context.Context, goroutines int, d time.Duration, f func() error,
) (float64, error) {
	var wg sync.WaitGroup
	n := make([]int, goroutines)
	errs := make([]error, len(n))
	begin := time.Now()
	for i := range n {
		wg.Go(func() {
			for ctx.Err() == nil && time.Since(begin) < d {
				if errs[i] = f(); errs[i] != nil {
					return
				}
				n[i]++
			}
		})
	}
	wg.Wait()
	took, sum := time.Since(begin).Seconds(), 0
	for _, v := range n {
		sum += v
	}
	return float64(sum) / took, firstOf(errs)
}

// rsaRate returns how many RS256 signatures all cores make a second.
func rsaRate(ctx context.Context, d time.Duration) (float64, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return 0, err
	}
	digest := sha256.Sum256([]byte("to be signed"))
	return onAllCores(ctx, d, func() error {
		_, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
		return err
	})
}

// argonRate returns how many password hashes all cores make a second, with the parameters that the
// server uses.
func argonRate(ctx context.Context, d time.Duration) (float64, error) {
	model, err := secret.NewPasswords(1, 1).Hash(ctx, password)
	if err != nil {
		return 0, err
	}
	c, err := parseCost(model)
	if err != nil {
		return 0, err
	}
	return onAllCores(ctx, d, func() error {
		argon2.IDKey([]byte(password), []byte("sixteen bytes ok"), c.passes, c.memory, c.lanes, 32)
		return nil
	})
}

// cost is what an argon2id hash costs; memory is in KiB.
type cost struct {
	memory, passes uint32
	lanes          uint8
}

// parseCost reads the parameters of a PHC string.
func parseCost(phc string) (c cost, err error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return c, fmt.Errorf("%.40q is no argon2id hash", phc)
	}
	_, err = fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &c.lanes)
	return c, err
}
