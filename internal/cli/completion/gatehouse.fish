# Completes command lines of gatehouse in fish. Made by: gatehouse completion fish
function __gatehouse_complete
    set -l words (commandline -opc) (commandline -ct)
    command gatehouse __complete $words[2..-1] 2>/dev/null
end
complete -c gatehouse -a '(__gatehouse_complete)'
