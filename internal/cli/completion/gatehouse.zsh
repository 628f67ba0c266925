#compdef gatehouse
# Completes command lines of gatehouse in zsh. Made by: gatehouse completion zsh
_gatehouse() {
  local word help
  local -a candidates
  while IFS=$'\t' read -r word help; do
    candidates+=("${word//:/\\:}:$help")
  done < <(command gatehouse __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( ${#candidates} )); then
    _describe -V gatehouse candidates
  else
    _files
  fi
}
# Loaded from fpath, the file is the function itself; in a script, it is registered.
if [[ ${funcstack[1]} = _gatehouse ]]; then
  _gatehouse "$@"
else
  compdef _gatehouse gatehouse
fi
