package cache

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/cache/redis"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// A redisAddress is a REDIS_URL with several hosts, or with the name of a Sentinel's primary.
type redisAddress struct {
	hosts  []string // with ports
	tls    bool
	kind   string // sentinel or cluster
	user   *url.Userinfo
	master string
	db     int
	query  url.Values
}

// redisConfig parses REDIS_URL:
//
//	redis://user:password@host:6379/0      one server; rediss:// with TLS, unix:///path?db=0
//	redis://user:password@s1,s2:26379/NAME the primary NAME, found through Sentinels; also
//	                                       redis-sentinel://s1,s2/0?master=NAME
//	redis://user:password@n1,n2:6379       a cluster; also redis-cluster://n1
//
// User and password are those of the data servers. sentinel_user and sentinel_password in the query
// are those of the Sentinels, none by default.
func redisConfig(address string) (redis.Config, error) {
	a, err := parseRedisAddress(address)
	if err != nil {
		return redis.Config{}, err
	}
	if a == nil {
		return singleRedis(address)
	}
	c := redis.Config{Mode: redis.Cluster, Addrs: a.hosts, Database: a.db}
	c.User, c.Password = credentials(a.user)
	if a.tls {
		c.TLS = redisTLS()
	}
	if a.kind == "sentinel" {
		c.Mode, c.Primary = redis.Sentinel, a.master
		c.SentinelUser, c.SentinelPassword = a.query.Get("sentinel_user"), a.query.Get("sentinel_password")
	}
	return c, nil
}

// redisTLS returns what connections with TLS have in common.
func redisTLS() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }

func credentials(u *url.Userinfo) (user, password string) {
	password, _ = u.Password()
	return u.Username(), password
}

// singleRedis parses the address of one server.
func singleRedis(address string) (redis.Config, error) {
	bad := badRedis("write it like redis://user:password@host:6379/0")
	u, err := url.Parse(address)
	if err != nil {
		return redis.Config{}, bad
	}
	c := redis.Config{Addrs: []string{u.Path}, Socket: u.Scheme == "unix"}
	c.User, c.Password = credentials(u.User)
	q := u.Query()
	db := q.Get("db")
	switch u.Scheme {
	case "unix":
	case "rediss", "valkeys":
		c.TLS = redisTLS()
		fallthrough
	case "redis", "valkey":
		host, port := cmp.Or(u.Hostname(), "localhost"), cmp.Or(u.Port(), "6379")
		c.Addrs = []string{net.JoinHostPort(host, port)}
		db = cmp.Or(db, strings.Trim(u.Path, "/"))
	default:
		return redis.Config{}, bad
	}
	for _, name := range []string{"addr", "skip_verify"} { // would be ignored, which nobody expects
		if q.Has(name) {
			return redis.Config{}, badRedis("the parameter %s is not supported", name)
		}
	}
	if c.Database, err = strconv.Atoi(cmp.Or(db, "0")); err != nil || c.Database < 0 {
		return redis.Config{}, bad
	}
	return c, nil
}

// parseRedisAddress returns nil for an address of one server.
func parseRedisAddress(address string) (*redisAddress, error) {
	scheme, rest, _ := strings.Cut(address, "://")
	scheme, kind, _ := strings.Cut(strings.Replace(scheme, "+", "-", 1), "-")
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	at := strings.LastIndexByte(rest[:end], '@') + 1
	list := rest[at:end]
	u, err := url.Parse(scheme + "://" + rest[:at] + "host" + rest[end:])
	if err != nil || !slices.Contains([]string{"", "sentinel", "cluster"}, kind) {
		return nil, badRedis("write special characters of a password as %%XX")
	}
	a := &redisAddress{kind: kind, user: u.User, query: u.Query(), tls: scheme == "rediss" || scheme == "valkeys"}
	named := a.query.Get("master") != "" || a.query.Get("master_set") != ""
	if kind == "" && !named && !strings.Contains(list, ",") {
		return nil, nil
	}
	if !slices.Contains([]string{"redis", "rediss", "valkey", "valkeys"}, scheme) {
		return nil, badRedis("several servers have the scheme redis:// or rediss://")
	}
	if err := a.place(u); err != nil {
		return nil, err
	}
	return a, a.split(list)
}

// place reads the name of the primary and the number of the database, and decides between Sentinel
// and cluster.
func (a *redisAddress) place(u *url.URL) error {
	for name := range a.query {
		if !slices.Contains([]string{"master", "master_set", "db", "sentinel_user", "sentinel_password"}, name) {
			return badRedis("its parameters can be master, db, sentinel_user and sentinel_password")
		}
	}
	words := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	words = append(words, a.query["db"]...)
	for _, w := range append(words, u.Fragment, a.query.Get("master"), a.query.Get("master_set")) {
		db, err := strconv.Atoi(w)
		switch {
		case w == "":
		case err == nil && db >= 0:
			a.db = db
		case a.master != "" && a.master != w:
			return badRedis("it names two primaries")
		default:
			a.master = w
		}
	}
	if a.kind == "" {
		if a.kind = "cluster"; a.master != "" {
			a.kind = "sentinel"
		}
	}
	switch {
	case a.kind == "sentinel" && a.master == "":
		return badRedis("the Sentinels need the name of their primary: redis-sentinel://s1,s2,s3/NAME")
	case a.kind == "cluster" && a.master != "":
		return badRedis("a cluster has no named primary; for Sentinels, write redis-sentinel://")
	case a.kind == "cluster" && a.db != 0:
		return badRedis("a cluster has database 0 only")
	}
	return nil
}

// split reads the list of hosts.
func (a *redisAddress) split(list string) error {
	port := "6379"
	if a.kind == "sentinel" {
		port = "26379"
	}
	for i, h := range strings.Split(list, ",") {
		host, p, err := net.SplitHostPort(h)
		if err != nil {
			if host, p, err = net.SplitHostPort(h + ":" + port); err != nil {
				return badRedis("item %d of its list is not a host and port", i+1)
			}
		}
		if n, err := strconv.Atoi(p); host == "" || err != nil || n < 1 || n > 65535 {
			return badRedis("item %d of its list is not a host and port", i+1)
		}
		a.hosts = append(a.hosts, net.JoinHostPort(host, p))
	}
	return nil
}

// badRedis returns an error that quotes nothing of the address, which may hold a password.
func badRedis(format string, args ...any) error {
	return fault.InvalidField("REDIS_URL", "REDIS_URL cannot be read: "+format, args...)
}
