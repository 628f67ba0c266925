package cache

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/cache/redis"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Each way to write an address leads to the same servers.
func TestRedisAddresses(t *testing.T) {
	for url, want := range map[string]string{
		"redis://h":                                  "one h:6379 db 0",
		"rediss://h:1/3":                             "one h:1 db 3 tls",
		"redis://[::1]:1":                            "one [::1]:1 db 0",
		"redis://[::1]":                              "one [::1]:6379 db 0",
		"redis://":                                   "one localhost:6379 db 0",
		"redis://:p%2C@h/2?protocol=2":               "one h:6379 db 2 user :p,",
		"redis://u@h:1/?db=3":                        "one h:1 db 3 user u:",
		"valkey://u:p@h":                             "one h:6379 db 0 user u:p",
		"valkeys://h":                                "one h:6379 db 0 tls",
		"unix://u:p@/run/redis.sock?db=1":            "socket /run/redis.sock db 1 user u:p",
		"unix:///run/redis.sock":                     "socket /run/redis.sock db 0",
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
		c, err := redisConfig(url)
		testkit.Must(t, err)
		kind := map[redis.Mode]string{redis.Server: "one", redis.Sentinel: "sentinel", redis.Cluster: "cluster"}[c.Mode]
		if c.Socket {
			kind = "socket"
		}
		got := []string{kind, strings.Join(c.Addrs, " "), "db", string(rune('0' + c.Database))}
		if c.Primary != "" {
			got = append(got, c.Primary)
		}
		if c.TLS != nil {
			got = append(got, "tls")
			testkit.Equal(t, "least version of TLS", c.TLS.MinVersion, tls.VersionTLS12)
			testkit.Equal(t, "the certificate is not verified", c.TLS.InsecureSkipVerify, false)
		}
		if c.User+c.Password != "" {
			got = append(got, "user", c.User+":"+c.Password)
		}
		if c.SentinelPassword != "" {
			got = append(got, "watch", c.SentinelUser+":"+c.SentinelPassword)
		}
		testkit.Equal(t, url, strings.Join(got, " "), want)
	}
}
