package ui

// PageError is the page about an error that no form can show.
const PageError PageName = "error"

// ErrorView shows what happened and what to do. None of its texts may hold anything that a stranger
// can write, except registered names. Base.RequestID lets the operator find the rest in the log.
type ErrorView struct {
	Base
	Heading  string // the cause, in a few words
	Text     string // what happened and what to do, in whole sentences
	NextURL  string // one of our own pages, or the registered home page of an app
	NextText string // the text of the link to it
}

// Page names the template.
func (*ErrorView) Page() PageName { return PageError }
