package rediscache_test

import (
	"log"

	"github.com/redis/rueidis"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/rediscache"
)

// Servers of one API share answers of introspection, and the memory of DPoP proofs.
func Example() {
	redis, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"redis.example.com:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	shared := rediscache.New(redis)
	v, err := bearer.New(bearer.Config{
		Issuer:   "https://id.example.com",
		Audience: []string{"https://api.example.com"},
		Client:   bearer.ClientCredentials{ID: "notes-api", Secret: "its secret"},
		Cache:    shared,
		DPoP:     bearer.DPoPConfig{Replays: shared},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
}
