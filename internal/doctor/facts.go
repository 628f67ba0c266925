package doctor

import (
	"net/netip"
	"time"
)

// Facts are what is known about an installation. A nil pointer and an empty list mean that nothing
// is known; the areas that need it have no finding then.
type Facts struct {
	Now        time.Time
	Production bool

	Server      *Server
	Probe       *Probe
	DNS         *DNS
	Certificate *Certificate
	Clock       *Clock
	Database    *Database
	Redis       *Redis
	Files       []File
	Disks       []Disk
	MasterKey   *MasterKey
	SigningKeys []SigningKey
	Mail        *Mail
	Admins      *Admins
	Passwords   *Passwords
	Clients     []Client
	Backups     *Backups
	Deliveries  *Deliveries
	Migrations  []string // that are pending
}

// Server is what the settings say about the server.
type Server struct {
	BaseURL        string
	Scheme, Host   string // of BaseURL
	Local          bool   // BaseURL is of this machine only
	TrustedProxies []netip.Prefix
	MetricsOpen    bool // metrics can be read from other machines
	AdminNetworks  bool // ADMIN_ALLOWED_IPS is set
	AccessTTL      time.Duration
}

// Probe is what the server saw of a request that was sent to its public address.
type Probe struct {
	Err       string // why nothing answered, or ""
	Other     bool   // somebody else answered
	Peer      string // the address of the connection, as the server saw it
	Scheme    string // how the server took the request to be sent: http or https
	Host      string
	Forwarded []string // names of the forwarding headers that arrived
	Took      time.Duration
	Cookies   *Cookies // nil: not known
}

// Cookies compares cookies as the server and the sender of a probe have seen them.
type Cookies struct {
	Withheld bool     // the cookie of the request did not arrive
	Missing  bool     // that of the answer did not
	Changed  []string // attributes of the answer's that are others than the server has set
}

// DNS is what the DNS says of the host of the server's address.
type DNS struct {
	Host      string
	Err       string // why it is not found, or ""
	Addresses []string
	Dead      []string // those of the addresses where nothing answers
}

// Certificate is a TLS certificate as callers get it.
type Certificate struct {
	Err      string // why it is not accepted, or ""
	NotAfter time.Time
	Managed  bool // the server renews it itself
}

// Clock compares the clock of this machine with others.
type Clock struct {
	Unsynchronized bool           // the system says that nothing sets its clock
	Database       *time.Duration // how far the clock of the database is ahead of ours
}

// Database is the state of the database.
type Database struct {
	Engine     string // "sqlite" or "postgres"
	Err        string // why it cannot be used, or ""
	Version    string
	FileSystem string        // of an SQLite file, such as "ext4"
	WAL        int64         // bytes
	Latency    time.Duration // of the simplest query
	Litestream bool          // its tables are in the database
	External   bool          // SQLITE_CHECKPOINT=external
	Corrupt    string        // what the check of the file says, or ""
	Unchecked  bool          // the file is too large to be checked meanwhile

	ReadOnly         bool
	Settings         map[string]string // of PostgreSQL
	Statements       string            // how queries are sent: see DATABASE_STATEMENTS
	MaxConnections   int
	SynchronousNames string // synchronous_standby_names
	Standbys         Standbys
	Slow             []SlowQuery
	// A pooler stands between, where LISTEN does not work, so that changes of other servers are
	// found by asking.
	Polling bool
}

// Standbys are the servers that follow the primary of PostgreSQL.
type Standbys struct {
	Synchronous, Asynchronous int
	Hidden                    int // of which the role of the connection may not see more
}

// SlowQuery is a query that takes long on average.
type SlowQuery struct {
	Text  string // without values
	Mean  time.Duration
	Calls int64
}

// Redis is the state of the shared store.
type Redis struct {
	Err     string
	Latency time.Duration
	Plain   bool // the connection to another machine is not encrypted
}

// File is a file or directory that holds secrets or data.
type File struct {
	Path   string
	What   string // such as "the database"
	Mode   uint32 // permission bits
	Dir    bool
	Owner  int // user id
	Our    int // the user id of this process
	Err    string
	Secret bool // nobody but its owner may read it
}

// Disk is a file system that the server writes to.
type Disk struct {
	Path        string
	Free, Total uint64
}

// Backups says what the servers back up, and where to.
type Backups struct {
	Place     string        // "": nowhere
	Every     time.Duration // 0: never by themselves
	Bucket    bool          // the place is a bucket of others
	Encrypted bool
	Copy      bool      // of a database for trying things out no backups are made
	Err       string    // why nothing can be written there, or ""
	Newest    time.Time // when the newest good one began; zero: there is none
	Size      int64     // of it, in bytes
	Failures  int       // attempts in a row that failed since
	LastError string
	SameDisk  bool // the place is on the disk of the database
	// UploadsErr is why uploads that a crash has broken off cannot be found in the bucket, or "".
	UploadsErr string
}

// MasterKey says how good SECRET_KEY is.
type MasterKey struct {
	Err       string // why it does not open the database, or ""
	Generated bool   // made by the server, in a file beside the database
	Distinct  int    // different bytes in it
	Previous  bool   // SECRET_KEY_PREVIOUS is set
}

// SigningKey is a key that signs tokens.
type SigningKey struct {
	ID, Algorithm string
	Since         time.Time
	Active        bool
}

// Mail says how mail is sent.
type Mail struct {
	Host      string // "" without a mail server
	Security  string
	From      string // address
	Err       string // of the mail server, asked now
	DNSErr    string
	SPF       []string // records of the sender's domain
	DMARC     []string
	Dead      int       // messages that were given up on
	Oldest    time.Time // the oldest that waits, or zero
	Passwords bool      // a user name and a password are set
}

// Admins are the people who may administer.
type Admins struct {
	Super        int // super administrators who can sign in
	WithoutMFA   []string
	RequireMFA   bool
	SetupPending bool // nobody is an administrator yet
}

// Passwords says what passwords must fulfil.
type Passwords struct {
	Allowed      bool // people may sign in with a password
	MinLength    int
	Characters   bool // kinds of characters are required
	ExpiryDays   int
	BreachedList bool
	BreachedFrom time.Time // when the list was made, or zero
	MFARequired  bool
	LockoutOff   bool
	RateLimitOff bool
}

// Client is what matters of a client's registration.
type Client struct {
	ID, Name       string
	Public         bool
	Grants         []string
	PlainPKCE      bool
	RequirePKCE    bool
	Redirects      []string
	SecretExpires  time.Time // of its last secret, or zero
	SecretSince    time.Time // of its newest secret, or zero
	HasSecret      bool
	Unverified     bool
	IntrospectAny  bool
	Administrative bool // it may be given a scope of administrators
}

// Deliveries is what is known of where the audit log is delivered to.
type Deliveries struct {
	Sinks      []Sink
	Webhooks   []string // addresses, without their paths, of those that the server has switched off
	Checkpoint *CheckpointTarget
}

// Sink is a log server or webhook that is switched on.
type Sink struct {
	Name         string
	FailingSince time.Time // zero: it is not failing
	Error        string
	Lost         int64 // events of the last 30 days that were given up on
}

// CheckpointTarget is how the attempts to send checkpoints to AUDIT_CHECKPOINT_URL have ended.
type CheckpointTarget struct {
	FailingSince time.Time // zero: the last attempt succeeded
	Error        string
	Last         time.Time // when it took one last, or zero
}
