package config

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// poolNames returns parameters of database addresses that other programs know, with ours.
func poolNames() map[string]string {
	return map[string]string{
		"max_pool_size":     "pool_max_conns",
		"initial_pool_size": "pool_min_conns",
		"connection_limit":  "pool_max_conns",
		"pool":              "pool_max_conns",
		"schema":            "search_path",
	}
}

// uselessNames returns parameters of database addresses that other programs know and that have no
// meaning here, with why.
func uselessNames() map[string]string {
	const waits = "a request waits up to 5 seconds for a connection"
	const again = "a lost connection is replaced with the next request"
	return map[string]string{
		"max_idle_pool_size":        "idle connections are closed after pool_max_conn_idle_time",
		"checkout_timeout":          waits,
		"pool_timeout":              waits,
		"retry_attempts":            again,
		"retry_delay":               again,
		"reconnect":                 again,
		"prepared_statements":       "see DATABASE_STATEMENTS",
		"prepared_statements_cache": "see DATABASE_STATEMENTS",
		"statement_cache_size":      "see DATABASE_STATEMENTS",
		"pgbouncer":                 "a connection pooler is detected",
	}
}

// settleDatabase translates what other programs write into the address of a PostgreSQL database. A
// parameter that PostgreSQL does not know would keep it from accepting the connection.
func (c *Config) settleDatabase(name string, address *Secret, p *Problems) {
	base, raw, ok := strings.Cut(string(*address), "?")
	query, err := url.ParseQuery(raw)
	if !ok || err != nil || strings.HasPrefix(base, "sqlite:") {
		return
	}
	changed := false
	for _, known := range slices.Sorted(maps.Keys(query)) {
		value := query.Get(known)
		if why, ok := uselessNames()[known]; ok {
			c.strangers = append(c.strangers, fmt.Sprintf("%s: the parameter %s is ignored: %s", name, known, why))
			if known == "prepared_statements" && value == "false" && !c.isSet("DATABASE_STATEMENTS") {
				c.Storage.Statements = "exec"
			}
			query.Del(known)
			changed = true
			continue
		}
		ours, ok := poolNames()[known]
		if !ok {
			continue
		}
		query.Del(known)
		changed = true
		n, err := strconv.ParseUint(value, 10, 31)
		switch {
		case query.Has(ours): // ours counts
		case ours == "search_path":
			query.Set(ours, value)
		case err != nil:
			p.add("%s: the parameter %s must be a whole number of connections", name, known)
		case n > 0: // 0 is no limit, or no connections in advance
			query.Set(ours, value)
		}
	}
	if !changed {
		return
	}
	if count(query, "pool_min_conns", 0) > count(query, "pool_max_conns", math.MaxInt32) {
		query.Set("pool_min_conns", query.Get("pool_max_conns"))
	}
	if raw = query.Encode(); raw != "" {
		base += "?" + raw
	}
	*address = Secret(base)
}

func count(query url.Values, name string, otherwise int64) int64 {
	n, err := strconv.ParseInt(query.Get(name), 10, 32)
	if err != nil {
		return otherwise
	}
	return n
}
