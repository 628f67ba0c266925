package ui

// PageError is the page of last resort.
const PageError PageName = "error"

// ErrorView says what happened and what to do. Neither text may hold anything that a stranger can write
// but names already registered; Base.RequestID lets the operator find the rest in the log.
type ErrorView struct {
	Base
	Heading string // what happened, in a few words
	What    string // the same in a sentence
	Do      string // what to do now
	BackURL string // only ever our own page or a registered client's home
	Back    string // text of that link; made from Base.Client's name when empty
}

// Page names the template.
func (*ErrorView) Page() PageName { return PageError }

// BackText is the text of the link back.
func (v *ErrorView) BackText() string {
	if v.Back != "" {
		return v.Back
	}
	if v.Client != nil && v.Client.Name != "" {
		return "Back to " + v.Client.Name
	}
	return "Back to the start"
}
