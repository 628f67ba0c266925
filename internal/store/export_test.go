package store

// Ended returns the tables whose rows end with a recovery.
func Ended() []string { return ended }
