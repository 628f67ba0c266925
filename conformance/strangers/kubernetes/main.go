// Command kubernetes authenticates a token as a Kubernetes API server does, with its own code: it
// takes the file that --authentication-config names, reads a token from standard input, and prints
// who it is for.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: kubernetes AUTHENTICATION-CONFIG < TOKEN")
	}
	token, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	if err := authenticate(os.Args[1], strings.TrimSpace(string(token))); err != nil {
		log.Fatal(err)
	}
}

func authenticate(file, token string) error {
	config, err := load(file)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tokens, err := oidc.New(ctx, oidc.Options{
		JWTAuthenticator:     config.JWT[0],
		SupportedSigningAlgs: oidc.AllValidSigningAlgorithms(),
	})
	if err != nil {
		return err
	}
	response, ok, err := await(ctx, tokens, token)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("the token is not for this cluster")
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"name":   response.User.GetName(),
		"groups": response.User.GetGroups(),
	})
}

// await authenticates the token as soon as the discovery document has been read.
func await(
	ctx context.Context, tokens oidc.AuthenticatorTokenWithHealthCheck, token string,
) (*authenticator.Response, bool, error) {
	for tokens.HealthCheck() != nil {
		select {
		case <-ctx.Done():
			return nil, false, tokens.HealthCheck()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return tokens.AuthenticateToken(ctx, token)
}

// load reads and validates the configuration.
func load(file string) (*apiserver.AuthenticationConfiguration, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	object, err := runtime.Decode(codecs.UniversalDecoder(apiserver.SchemeGroupVersion), data)
	if err != nil {
		return nil, err
	}
	config, ok := object.(*apiserver.AuthenticationConfiguration)
	if !ok || len(config.JWT) != 1 {
		return nil, fmt.Errorf("%s does not configure one JWT authenticator", file)
	}
	compiler := cel.NewDefaultCompiler()
	return config, validation.ValidateAuthenticationConfiguration(compiler, config, nil).ToAggregate()
}
