#!/bin/sh
# Signs in a program that has no browser: a TV, a server, a pipeline job (RFC 8628). Needs curl and jq.
#
#   device.sh login    shows a code, which a person enters in a browser anywhere
#   device.sh token    prints an access token, for as long as the sign-in lasts
#
# Only the token goes to standard output, so a script can use token=$(./device.sh token).
set -eu
umask 077 # only the owner can read the files

issuer=${ISSUER:-http://localhost:8080}
client=${CLIENT_ID:-notes-device}
scope=${SCOPE:-openid offline_access notes:read}
resource=${RESOURCE:-http://localhost:9000}
file=${TOKEN_FILE:-${XDG_CONFIG_HOME:-$HOME/.config}/gatehouse-device/refresh_token}

say() { printf '%s\n' "$*" >&2; }
fail() {
	say "device.sh: $*"
	exit 1
}

# field NAME prints a field of $answer, or nothing. A proxy's response may not be JSON.
field() { printf '%s' "$answer" | jq -r --arg name "$1" '.[$name] // empty' 2>/dev/null || :; }

# request URL CURL-ARGUMENTS... prints the response whatever its status: an OAuth error is in the body.
request() { curl --silent --show-error --max-time 30 "$@"; }

# discover reads the server's endpoints from its metadata.
discover() {
	answer=$(request --fail "$issuer/.well-known/openid-configuration") || fail "cannot read the metadata of the server at $issuer"
	device_endpoint=$(field device_authorization_endpoint)
	token_endpoint=$(field token_endpoint)
}

# only_one waits until no other process of this script uses the token file. A refresh token works once;
# if it is used a second time, the server revokes the sign-in. mkdir succeeds for one process only.
only_one() {
	mkdir -p "$(dirname "$file")"
	tries=0
	until mkdir "$file.lock" 2>/dev/null; do
		tries=$((tries + 1))
		[ "$tries" -lt 60 ] || fail "another device.sh is running; if not, remove $file.lock"
		sleep 1
	done
	trap 'rmdir "$file.lock"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# keep stores the refresh token of $answer. The rename is atomic: a crash leaves the old or the new token.
keep() {
	refresh_token=$(field refresh_token)
	[ -n "$refresh_token" ] || return 0 # a server that does not rotate sends none
	printf '%s' "$refresh_token" >"$file.new"
	mv -f "$file.new" "$file"
}

login() {
	discover
	answer=$(request "$device_endpoint" --data-urlencode "client_id=$client" \
		--data-urlencode "scope=$scope" --data-urlencode "resource=$resource") || fail "the server cannot be reached"
	device_code=$(field device_code)
	[ -n "$device_code" ] || fail "the server returned $(field error): $(field error_description)"

	say "On any device, open"
	say "  $(field verification_uri)"
	say "and enter the code"
	say "  $(field user_code)"
	await_person
	[ -n "$(field refresh_token)" ] || fail "the server sent no refresh token; create the client with --grant refresh_token, too"
	only_one
	keep
	say "Signed in. The refresh token is in $file."
}

# await_person polls for the tokens at the server's interval, until they are in $answer (RFC 8628 §3.5).
await_person() {
	interval=$(field interval)
	interval=${interval:-5}
	lifetime=$(field expires_in)
	deadline=$(($(date +%s) + ${lifetime:-600}))
	while [ "$(date +%s)" -lt "$deadline" ]; do
		sleep "$interval"
		# Pass secrets by standard input: other users of the machine can read the arguments of curl.
		answer=$(printf '%s' "$device_code" | request "$token_endpoint" --data-urlencode "client_id=$client" \
			--data "grant_type=urn:ietf:params:oauth:grant-type:device_code" --data-urlencode "device_code@-") || answer=
		case $(field error) in
		authorization_pending) ;;
		slow_down) interval=$((interval + 5)) ;; # for all further polls
		access_denied) fail "the person denied access" ;;
		expired_token) break ;;
		'' | server_error | temporarily_unavailable | rate_limit_exceeded)
			[ -z "$(field access_token)" ] || return 0
			interval=$((interval * 2)) # back off from a server or network in trouble
			;;
		*) fail "the server returned $(field error): $(field error_description)" ;;
		esac
	done
	fail "the code was not entered in time; run login again"
}

token() {
	[ -f "$file" ] || fail "not signed in; run: $0 login"
	discover
	only_one
	answer=$(request "$token_endpoint" --data-urlencode "client_id=$client" \
		--data "grant_type=refresh_token" --data-urlencode "refresh_token@$file") || fail "the server cannot be reached"
	case $(field error) in
	'') ;;
	invalid_grant) # expired or revoked, for good
		rm -f "$file"
		fail "the sign-in has ended; run: $0 login"
		;;
	*) fail "the server returned $(field error): $(field error_description)" ;;
	esac
	access_token=$(field access_token)
	[ -n "$access_token" ] || fail "the response contains no token"
	keep # before the access token is used: the old refresh token is now invalid
	printf '%s\n' "$access_token"
}

case ${1-} in
login) login ;;
token) token ;;
*)
	say "usage: device.sh login|token"
	exit 2
	;;
esac
