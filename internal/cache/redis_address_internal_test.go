package cache

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Each way to write an address leads to the same servers.
func TestRedisAddresses(t *testing.T) {
	for url, want := range map[string]string{
		"redis://h":                                  "one h:6379 db 0",
		"rediss://h:1/3":                             "one h:1 db 3 tls",
		"redis://[::1]:1":                            "one [::1]:1 db 0",
		"redis://a,b:1,[::1]/main":                   "sentinel a:26379 b:1 [::1]:26379 db 0 main",
		"redis://a:1,b:2/main/4":                     "sentinel a:1 b:2 db 4 main",
		"redis://a:1?master=main":                    "sentinel a:1 db 0 main",
		"redis-sentinel://a/4?master=main":           "sentinel a:26379 db 4 main",
		"redis+sentinel://a,b#main":                  "sentinel a:26379 b:26379 db 0 main",
		"rediss-sentinel://a?master_set=main&db=4":   "sentinel a:26379 db 4 main tls",
		"redis://u:p@a:1,b/main?sentinel_password=s": "sentinel a:1 b:26379 db 0 main user u:p watch :s",
		"redis://:p%2C@a:1,b":                        "cluster a:1 b:6379 db 0 user :p,",
		"valkeys://a,b/0":                            "cluster a:6379 b:6379 db 0 tls",
		"redis-cluster://a:1":                        "cluster a:1 db 0",
	} {
		o, err := redisOption(url)
		testkit.Must(t, err)
		kind := "cluster"
		if a, _ := parseRedisAddress(url); a == nil {
			kind = "one"
		} else {
			kind = a.kind
		}
		got := []string{kind, strings.Join(o.InitAddress, " "), "db", string(rune('0' + o.SelectDB))}
		if o.Sentinel.MasterSet != "" {
			got = append(got, o.Sentinel.MasterSet)
		}
		if o.TLSConfig != nil {
			got = append(got, "tls")
		}
		if o.Username+o.Password != "" {
			got = append(got, "user", o.Username+":"+o.Password)
		}
		if o.Sentinel.Password != "" {
			got = append(got, "watch", o.Sentinel.Username+":"+o.Sentinel.Password)
		}
		testkit.Equal(t, url, strings.Join(got, " "), want)
	}
}
