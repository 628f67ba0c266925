package audit

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestFrontier compares frontier, stored nodes, root and proofs with tlog's own.
func TestFrontier(t *testing.T) {
	var f Frontier
	var stored []tlog.Hash
	nodes := map[[2]int64]tlog.Hash{}
	all := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	read := NodeReader(func(level int, first, count int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for n := first; n < first+count; n++ {
			h, ok := nodes[[2]int64{int64(level), n}]
			if !ok {
				return nil, errNodes
			}
			out = append(out, h)
		}
		return out, nil
	})
	for n := range int64(700) {
		data := fmt.Appendf(nil, "leaf %d", n)
		more, err := tlog.StoredHashes(n, data, all)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		f.Append(tlog.RecordHash(data), func(x Node) {
			if x.Level%NodeLevels == 0 {
				nodes[[2]int64{int64(x.Level), x.N}] = x.Hash
			}
		})
		root, err := tlog.TreeHash(n+1, all)
		if err != nil || root != f.Root() {
			t.Fatalf("size %d: root %v, want %v, %v", n+1, f.Root(), root, err)
		}
		again, err := ReadFrontier(n+1, read)
		if err != nil || again.Root() != root {
			t.Fatalf("size %d: read root %v, %v", n+1, again, err)
		}
		if n%97 == 0 {
			proof, err := tlog.ProveRecord(n+1, n/2, read)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(proof, n+1, root, n/2, tlog.RecordHash(fmt.Appendf(nil, "leaf %d", n/2))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRowHash changes every field of a row, and expects another hash for each.
func TestRowHash(t *testing.T) {
	row := Row{ID: "i", At: 7, Type: "T", Actor: "a", User: "u", IP: "1.2.3.4", Agent: "b", Detail: `{"x":"y"}`, Salt: NewSalt()}
	hash := must(t, &row)
	seen := map[tlog.Hash]string{hash: "itself"}
	for name, change := range map[string]func(*Row){
		"ID": func(r *Row) { r.ID += "x" }, "At": func(r *Row) { r.At++ }, "Type": func(r *Row) { r.Type += "x" },
		"Actor": func(r *Row) { r.Actor += "x" }, "ActorType": func(r *Row) { r.ActorType += "x" },
		"User": func(r *Row) { r.User += "x" }, "Client": func(r *Row) { r.Client += "x" },
		"Session": func(r *Row) { r.Session += "x" }, "Grant": func(r *Row) { r.Grant += "x" },
		"RequestID": func(r *Row) { r.RequestID += "x" }, "Reason": func(r *Row) { r.Reason += "x" },
		"TargetType": func(r *Row) { r.TargetType += "x" }, "TargetID": func(r *Row) { r.TargetID += "x" },
		"IP": func(r *Row) { r.IP += "x" }, "Agent": func(r *Row) { r.Agent += "x" },
		"IP to Agent": func(r *Row) { r.IP, r.Agent = "1.2.3.4b", "" },
		"Detail":      func(r *Row) { r.Detail += "x" }, "Changes": func(r *Row) { r.Changes += "x" },
		"Salt": func(r *Row) { r.Salt = NewSalt() },
	} {
		other := row
		change(&other)
		h := must(t, &other)
		if seen[h] != "" {
			t.Errorf("%s and %s have the same hash", name, seen[h])
		}
		seen[h] = name
	}
}

func must(t *testing.T, r *Row) tlog.Hash {
	t.Helper()
	h, err := r.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestErase erases the parts of a row in both orders: the hash stays, and what stays of the salt
// does not give the erased part away.
func TestErase(t *testing.T) {
	row := Row{ID: "i", Actor: "admin", User: "u", IP: "1.2.3.4", Agent: "b", Detail: "d", Changes: "c", Salt: NewSalt()}
	hash := must(t, &row)
	for _, order := range [][]Part{{PartOrigin, PartFacts}, {PartFacts, PartOrigin}, {PartFacts, PartFacts}} {
		r := row
		for i, p := range order {
			if err := r.Erase(p); err != nil {
				t.Fatal(err)
			}
			if must(t, &r) != hash || !r.ErasedPart(p) {
				t.Errorf("%v: the hash changed at %d", order, i)
			}
		}
		if order[0] != order[1] && (r.Salt != "" || r.IP+r.Agent+r.Detail+r.Changes != "") {
			t.Errorf("%v leaves %+v", order, r)
		}
		if order[0] == PartFacts && order[1] == PartFacts {
			if r.IP != row.IP || r.Detail != "" || r.Salt == row.Salt {
				t.Errorf("one part leaves %+v", r)
			}
			guess := row
			guess.Salt = r.Salt
			if c, _ := guess.Commit(PartFacts); r.Erased == "facts="+fmt.Sprintf("%x", c) || mustCommit(t, &guess) == mustCommit(t, &row) {
				t.Error("the salt that stays opens the erased part")
			}
		}
	}
	for _, broken := range []Row{{Salt: "x"}, {Salt: "~x"}, {Erased: "facts=x"}, {Erased: "origin="}} {
		if _, err := broken.Hash(); err == nil {
			t.Errorf("%+v has a hash", broken)
		}
	}
}

func mustCommit(t *testing.T, r *Row) string {
	t.Helper()
	c, err := r.Commit(PartFacts)
	if err != nil {
		t.Fatal(err)
	}
	return string(c[:])
}

func TestEntries(t *testing.T) {
	entries := []Entry{{ID: "019ac000-0000-7000-8000-000000000001"}, {ID: "short"}, {ID: ""}}
	for i := range entries {
		entries[i].Hash[0] = byte(i + 1)
	}
	got, err := DecodeEntries(EncodeEntries(entries[:2]))
	if err != nil || len(got) != 2 || got[0] != entries[0] || got[1] != entries[1] {
		t.Errorf("got %v, %v", got, err)
	}
	for _, damaged := range []string{"*", "AA", "BQ"} {
		if _, err := DecodeEntries(damaged); err == nil {
			t.Errorf("%q is read", damaged)
		}
	}
	p := NewPage("p", "w", 1, entries[:2])
	sealed := NewSealer([]byte("key")).Seal("p", "w", 1, func(yield func(*Entry) bool) {
		_ = yield(&entries[0]) && yield(&entries[1])
	})
	want := SealedPage{ID: "p", First: p.First, Last: p.Last, Root: p.Root.String(), N: 2, Entries: EncodeEntries(entries[:2]), MAC: p.Sum([]byte("key"))}
	if sealed != want {
		t.Errorf("sealed %+v, want %+v", sealed, want)
	}
	for i := range int64(2) {
		path, err := p.ProveInPage(i)
		if err != nil {
			t.Fatal(err)
		}
		x := Proof{Row: p.Entries[i].Hash, Index: i, Page: p, InPage: path, Pending: true}
		if err := x.Check(); err != nil {
			t.Error(err)
		}
		x.Row[5]++
		if x.Check() == nil {
			t.Error("another row is proved")
		}
	}
}
