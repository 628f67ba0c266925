package main

import "sync"

// notebook keeps everyone's notes in memory. The key is the token's subject: the token alone
// decides which notes a request may read, never another part of the request.
type notebook struct {
	mu    sync.Mutex
	notes map[string][]string
}

// maxNotes bounds what one subject can store.
const maxNotes = 100

func newNotebook() *notebook { return &notebook{notes: map[string][]string{}} }

func (n *notebook) of(subject string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string{}, n.notes[subject]...) // never null in JSON
}

func (n *notebook) add(subject, text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.notes[subject]) == maxNotes {
		return false
	}
	n.notes[subject] = append(n.notes[subject], text)
	return true
}
