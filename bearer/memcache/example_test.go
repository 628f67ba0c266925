package memcache_test

import (
	"log"

	gomemcache "github.com/bradfitz/gomemcache/memcache"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/memcache"
)

// Servers of one API share answers of introspection.
func Example() {
	servers := gomemcache.New("cache-1.example.com:11211", "cache-2.example.com:11211")
	v, err := bearer.New(bearer.Config{
		Issuer:   "https://id.example.com",
		Audience: []string{"https://api.example.com"},
		Client:   bearer.ClientCredentials{ID: "notes-api", Secret: "its secret"},
		Cache:    memcache.New(servers),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
}
