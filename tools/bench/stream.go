package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	streamSize  = 100_000_000 // bytes of a body
	streamPiece = 256 << 10   // written and read at once
	streamsBy   = 4           // streams at the same time
	streamTime  = time.Minute // at most, for one
)

// pour writes n bytes.
func pour(w io.Writer, n int) error {
	piece := make([]byte, streamPiece)
	for n > 0 {
		m, err := w.Write(piece[:min(n, len(piece))])
		if n -= m; err != nil {
			return err
		}
	}
	return nil
}

// drain reads to the end and counts.
func drain(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, streamPiece)) // Discard's own way reads 8 KB at once
}

// streamLoad sends large bodies, up or down, over a few connections.
type streamLoad struct {
	request request
	upload  bool
	size    int
}

// newStreams returns a load with certain headers.
func newStreams(header [][2]string, up bool) streamLoad {
	if !up {
		return streamLoad{get(benchPrefix+"/"+download, header...), false, streamSize}
	}
	header = append(slices.Clone(header), [2]string{"Content-Type", "application/octet-stream"}, [2]string{"Content-Length", strconv.Itoa(streamSize)})
	return streamLoad{request{Method: http.MethodPut, Path: benchPrefix + "/" + upload, Header: header}, true, streamSize}
}

// run drives a server until the time is over, with at least one stream per connection. A stream
// that has begun then is finished, and counts with its time.
func (l streamLoad) run(ctx context.Context, address string, d time.Duration, _ bool) (sample, error) {
	results := make([]pass, streamsBy)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range results {
		wg.Go(func() { l.drive(ctx, address, begin.Add(d), &results[i]) })
	}
	wg.Wait()
	return sampleOf(results, time.Since(begin))
}

// drive sends one stream after the other over one connection. What fails ends it: its figures would
// mean nothing.
func (l streamLoad) drive(ctx context.Context, address string, end time.Time, p *pass) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		p.fail(err)
		return
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 16<<10)
	begun := time.Now()
	for first := true; (first || begun.Before(end)) && ctx.Err() == nil; first = false {
		if err := l.exchange(conn, in); err != nil {
			p.fail(err)
			return
		}
		now := time.Now()
		p.times = append(p.times, now.Sub(begun))
		begun = now
	}
}

// exchange sends one stream and checks the response.
func (l streamLoad) exchange(conn net.Conn, in *bufio.Reader) error {
	if err := conn.SetDeadline(time.Now().Add(streamTime)); err != nil {
		return err
	}
	_, sent := conn.Write(l.request.raw())
	if sent == nil && l.upload {
		sent = pour(conn, l.size)
	}
	res, err := http.ReadResponse(in, &http.Request{Method: l.request.Method}) // also to what could not be sent: it may say why
	if err != nil {
		return errors.Join(sent, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 300))
		return wrongAnswer(res.StatusCode, text)
	}
	if l.upload {
		text, err := io.ReadAll(io.LimitReader(res.Body, 300))
		if err == nil && string(text) != received(int64(l.size)) {
			err = fmt.Errorf("after %d bytes were sent, the upstream said: %q", l.size, text)
		}
		return errors.Join(sent, err)
	}
	n, err := drain(res.Body)
	if err == nil && n != int64(l.size) {
		err = fmt.Errorf("%d of %d bytes came", n, l.size)
	}
	return err
}
