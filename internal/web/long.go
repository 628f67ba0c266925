package web

import (
	"io"
	"net/http"
	"time"
)

// Limits of long requests and answers, in place of those of the server for all others.
const (
	// StallLimit is how long the other side may take to send or take a part.
	StallLimit = time.Minute
	// workLimit is how long the server itself may take between two parts of an answer.
	workLimit = 15 * time.Minute
)

// LongBody returns the body of a request that may take longer than others: a file, as long as its
// sender goes on sending. Only callers who are authenticated may have it.
func LongBody(w http.ResponseWriter, body io.ReadCloser) io.ReadCloser {
	return &longBody{body, http.NewResponseController(w)}
}

type longBody struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read reads a part. The answer comes after all of them, and must not be late by then.
func (b *longBody) Read(p []byte) (int, error) {
	now := time.Now()
	_ = b.control.SetReadDeadline(now.Add(StallLimit)) // not every writer has deadlines
	_ = b.control.SetWriteDeadline(now.Add(StallLimit + workLimit))
	return b.ReadCloser.Read(p)
}

// LongAnswer returns a writer of an answer that may take longer than others, as long as its reader
// goes on reading.
func LongAnswer(w http.ResponseWriter) io.Writer {
	a := &longAnswer{w, http.NewResponseController(w)}
	_ = a.control.SetWriteDeadline(time.Now().Add(workLimit)) // not every writer has one
	return a
}

type longAnswer struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// Write writes a part.
func (a *longAnswer) Write(p []byte) (int, error) {
	_ = a.control.SetWriteDeadline(time.Now().Add(StallLimit))
	n, err := a.w.Write(p)
	_ = a.control.SetWriteDeadline(time.Now().Add(workLimit))
	return n, err
}
