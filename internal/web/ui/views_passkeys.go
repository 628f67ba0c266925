package ui

import "time"

// AccountPasskeysView lists the passkeys of an account. Its forms lead to the pages that rename and
// remove one.
type AccountPasskeysView struct {
	Base
	Passkeys    []PasskeyLine
	HasPassword bool
	Fresh       bool   // adding one needs no proof
	Accepted    string // JSON of what is left, for the device after a removal, or ""
}

// Page names the template.
func (*AccountPasskeysView) Page() PageName { return PageAccountPasskeys }

// PasskeyLine is one passkey of a list.
type PasskeyLine struct {
	ID         string
	Name       string
	CreatedAt  time.Time
	LastUsedAt time.Time // zero: never
	Synced     bool      // it may be on several devices
	Second     bool      // it does not verify the person, so that it is a second step only
}

// AccountPasskeyRenameView asks for another name. Field: `passkey_name`. Posted to Form.Action.
type AccountPasskeyRenameView struct {
	Base
	Form
	Name string
}

// Page names the template.
func (*AccountPasskeyRenameView) Page() PageName { return PageAccountPasskeyRename }

// AccountPasskeyRemoveView asks before a passkey is removed. Fields: `current_password`, and `code`
// with two-step verification. Posted to Form.Action.
type AccountPasskeyRemoveView struct {
	Base
	Form
	Name        string
	HasPassword bool
	TwoStep     bool
}

// Page names the template.
func (*AccountPasskeyRemoveView) Page() PageName { return PageAccountPasskeyRemove }
