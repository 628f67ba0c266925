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
	v, err := bearer.New("https://id.example.com", bearer.Audience("https://api.example.com"), bearer.Client("notes-api", "its secret"),
		bearer.CacheIn(shared), bearer.ReplaysIn(shared))
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
}
