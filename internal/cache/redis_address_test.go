package cache_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/cache"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestRedisAddressErrors(t *testing.T) {
	for url, want := range map[string]string{
		"redis-sentinel://:hunter2@a,b,c":           "name of their primary",
		"redis-sentinel://:hunter2@a,b,c/0":         "name of their primary",
		"redis-cluster://:hunter2@a,b/main":         "no named primary",
		"redis://:hunter2@a,b/2":                    "database 0",
		"redis-cluster://:hunter2@a?db=2":           "database 0",
		"redis://:hunter2@a,b/one/two":              "two primaries",
		"redis://:hunter2@a,b/one?master=two":       "two primaries",
		"redis://:hunter2@a,,b":                     "item 2",
		"redis://:hunter2@a,b:x":                    "item 2",
		"redis://:hunter2@a:0,b":                    "item 1",
		"redis://a,b/main?sentinel_pasword=hunter2": "its parameters",
		"redis://:hunt%er2@a,b":                     "%XX",
		"redis://:hunter2@a/one":                    "write it like",
		"redis://:hunter2@a/0/1":                    "write it like",
		"redis://:hunter2@a?db=-1":                  "write it like",
		"redis://:hunter2@a:x":                      "write it like",
		"redis://:hunt%er2@a":                       "%XX",
		"redis://:hunter2@a?addr=b":                 "addr is not supported",
		"rediss://:hunter2@a?skip_verify=true":      "skip_verify is not supported",
		"unix://:hunter2@a,b":                       "scheme",
		"redis-other://:hunter2@a,b":                "cannot be read",
	} {
		_, err := cache.OpenRedis(url, cache.RedisOptions{Now: time.Now})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunt") {
			t.Errorf("%s: %v; want %q", url, err, want)
		}
	}
}
