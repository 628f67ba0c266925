// Command notes stores notes in the API of the api example, for the person who signed in with
// "notes login".
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
)

const usage = `usage: notes login            sign in with the browser of this machine
       notes login --device   sign in with another device, for example over SSH
       notes list             show your notes
       notes add TEXT         write a note
       notes logout           sign out and revoke the stored tokens`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "notes:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	file, err := newTokenFile()
	if err != nil {
		return err
	}
	account := account{
		issuer:   cmp.Or(os.Getenv("ISSUER"), "http://localhost:8080"),
		clientID: cmp.Or(os.Getenv("CLIENT_ID"), "notes-cli"),
		api:      cmp.Or(os.Getenv("API"), "http://localhost:9000"),
		resource: cmp.Or(os.Getenv("RESOURCE"), "http://localhost:9000"),
		file:     file,
	}
	switch {
	case slices.Equal(args, []string{"login"}):
		return account.login(ctx, account.byBrowser)
	case slices.Equal(args, []string{"login", "--device"}):
		return account.login(ctx, account.byDevice)
	case slices.Equal(args, []string{"list"}):
		return list(ctx, account)
	case len(args) == 2 && args[0] == "add":
		return add(ctx, account, args[1])
	case slices.Equal(args, []string{"logout"}):
		return account.logout(ctx)
	}
	return errors.New(usage)
}

func list(ctx context.Context, a account) error {
	var answer struct{ Notes []string }
	if err := call(ctx, a, http.MethodGet, nil, &answer); err != nil {
		return err
	}
	for _, note := range answer.Notes {
		fmt.Println("-", note)
	}
	fmt.Fprintf(os.Stderr, "%d notes\n", len(answer.Notes))
	return nil
}

func add(ctx context.Context, a account, text string) error {
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return err
	}
	return call(ctx, a, http.MethodPost, body, &struct{}{})
}

// call sends a request with an access token to the API and decodes the response into answer.
func call(ctx context.Context, a account, method string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	token, err := a.accessToken(ctx)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, a.api+"/notes", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return errors.New("the API no longer accepts the token; run: notes login")
	case res.StatusCode >= 300:
		return fmt.Errorf("the API returned %s %s", res.Status, res.Header.Get("WWW-Authenticate"))
	}
	return json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(answer)
}
