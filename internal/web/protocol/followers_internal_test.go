package protocol

import (
	"fmt"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// One client cannot hold all places of the feed, and a place that is left can be taken again.
func TestFollowerPlaces(t *testing.T) {
	var p followerPlaces
	for i := range maxFollowersOfClient {
		if !p.take("greedy") {
			t.Fatalf("stream %d got no place", i+1)
		}
	}
	if p.take("greedy") {
		t.Error("one client has more places than it may")
	}
	if !p.take("other") {
		t.Error("another client was kept out")
	}
	p.leave("greedy")
	if !p.take("greedy") {
		t.Error("a place that was left is gone")
	}
	for i := 0; p.all < maxFollowers; i++ {
		if !p.take(client.ID(fmt.Sprint(i))) {
			t.Fatalf("no place with %d streams", p.all)
		}
	}
	if p.take("last") {
		t.Error("there are more streams than places")
	}
	p.leave("other")
	if len(p.taken) != maxFollowers-maxFollowersOfClient-1+1 {
		t.Errorf("%d clients are counted", len(p.taken))
	}
}
