#!/bin/sh
# Signs in a program that has no browser: a TV, a server, a job in a pipeline (RFC 8628). It needs curl and jq.
#
#   device.sh login    shows a code; a person enters it in a browser anywhere
#   device.sh token    prints an access token, now and for as long as the sign-in lasts, without asking anyone
#
# Only the token goes to standard output, so that a script can say: token=$(./device.sh token)
set -eu
umask 077 # what we write is for nobody else to read

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

# field NAME: that field of $answer, or nothing. Not every answer is JSON: a proxy may be in the way.
field() { printf '%s' "$answer" | jq -r --arg name "$1" '.[$name] // empty' 2>/dev/null || :; }

# request URL CURL-ARGUMENTS...: prints the answer, whatever its status: an OAuth error says in its body what is wrong.
request() { curl --silent --show-error --max-time 30 "$@"; }

# discover asks the server where its endpoints are.
discover() {
	answer=$(request --fail "$issuer/.well-known/openid-configuration") || fail "the server at $issuer does not answer"
	device_endpoint=$(field device_authorization_endpoint)
	token_endpoint=$(field token_endpoint)
}

# only_one waits until no other process of ours has the token file: a refresh token works once, and used a second time it
# looks stolen, and ends the sign-in. Of many processes, mkdir succeeds for one.
only_one() {
	mkdir -p "$(dirname "$file")"
	tries=0
	until mkdir "$file.lock" 2>/dev/null; do
		tries=$((tries + 1))
		[ "$tries" -lt 60 ] || fail "another device.sh is at work; if there is none, remove $file.lock"
		sleep 1
	done
	trap 'rmdir "$file.lock"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# keep stores the refresh token of $answer. The rename is one step: a crash leaves the old token or the new one.
keep() {
	refresh_token=$(field refresh_token)
	[ -n "$refresh_token" ] || return 0 # a server that does not rotate sends none: the one we have goes on working
	printf '%s' "$refresh_token" >"$file.new"
	mv -f "$file.new" "$file"
}

login() {
	discover
	answer=$(request "$device_endpoint" --data-urlencode "client_id=$client" \
		--data-urlencode "scope=$scope" --data-urlencode "resource=$resource") || fail "the server cannot be reached"
	device_code=$(field device_code)
	[ -n "$device_code" ] || fail "the server refuses: $(field error): $(field error_description)"

	say "On any device, open"
	say "  $(field verification_uri)"
	say "and enter the code"
	say "  $(field user_code)"
	await_person
	[ -n "$(field refresh_token)" ] || fail "no refresh token came: create the client with --grant refresh_token as well"
	only_one
	keep
	say "Signed in. The refresh token is in $file."
}

# await_person asks for the tokens, no more often than the server allows, until they are in $answer (RFC 8628 §3.5).
await_person() {
	interval=$(field interval)
	interval=${interval:-5}
	lifetime=$(field expires_in)
	deadline=$(($(date +%s) + ${lifetime:-600}))
	while [ "$(date +%s)" -lt "$deadline" ]; do
		sleep "$interval"
		# A secret goes to curl by its standard input: everyone on the machine can read its arguments.
		answer=$(printf '%s' "$device_code" | request "$token_endpoint" --data-urlencode "client_id=$client" \
			--data "grant_type=urn:ietf:params:oauth:grant-type:device_code" --data-urlencode "device_code@-") || answer=
		case $(field error) in
		authorization_pending) ;;
		slow_down) interval=$((interval + 5)) ;; # from now on, not this time only
		access_denied) fail "the person said no" ;;
		expired_token) break ;;
		'' | server_error | temporarily_unavailable | rate_limit_exceeded)
			[ -z "$(field access_token)" ] || return 0
			interval=$((interval * 2)) # the server or the network is in trouble: do not add to it
			;;
		*) fail "the server refuses: $(field error): $(field error_description)" ;;
		esac
	done
	fail "nobody entered the code in time; run it again"
}

token() {
	[ -f "$file" ] || fail "not signed in; run: $0 login"
	discover
	only_one
	answer=$(request "$token_endpoint" --data-urlencode "client_id=$client" \
		--data "grant_type=refresh_token" --data-urlencode "refresh_token@$file") || fail "the server cannot be reached"
	case $(field error) in
	'') ;;
	invalid_grant) # it has expired or was revoked, and will not come back
		rm -f "$file"
		fail "the sign-in has ended; run: $0 login"
		;;
	*) fail "the server refuses: $(field error): $(field error_description)" ;;
	esac
	access_token=$(field access_token)
	[ -n "$access_token" ] || fail "the server's answer holds no token"
	keep # before the access token is used: now the old refresh token is worth nothing
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
