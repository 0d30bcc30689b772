package cli

import (
	"os/exec"
	"strings"
	"testing"
)

// TestBashCompletes runs the script in a bash without the package bash-completion, as readline does, beside a program that answers as ours does.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("not run: there is no bash here")
	}
	script := succeed(t, "", "", "completion", "bash").out + `
ottla() { printf 'asked:' >&2; printf ' <%s>' "$@" >&2; echo >&2; printf '%s\n' $ANSWER; }
compopt() { echo "compopt $*" >&2; }
try() { # try LINE WORD…: what is at the cursor, at the line's end, and how readline has split it
  COMP_LINE=$1; COMP_POINT=${#1}; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
  __ottla_complete 2>/dev/null
  echo "${COMPREPLY[*]}"
}
heard() { COMP_LINE=$1; COMP_POINT=${#1}; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); __ottla_complete_loud; }
source <(declare -f __ottla_complete | sed 's/__ottla_complete/__ottla_complete_loud/; s#2> */dev/null##g')
complete -p ottla
ANSWER='topic group :4'; try 'ottla t' ottla t
ANSWER='orders other payments :4'; try 'ottla topic describe o' ottla topic describe o
ANSWER='a :4'; try 'ottla topic describe ' ottla topic describe ''
ANSWER='topic/orders :4'; try 'ottla config get topic/o' ottla config get topic/o
ANSWER='retention.ms= retention.bytes= :6'; try 'ottla topic create x --config=ret' ottla topic create x --config = ret
try 'ottla topic create x --config=ret' ottla topic create x --config=ret # as where = is no word break
try 'ottla topic create x --config=' ottla topic create x --config =
ANSWER='jobs:0 jobs:1 :4'; try 'ottla group reset-offsets g -t jobs:' ottla group reset-offsets g -t jobs :
ANSWER=':1'; try 'ottla topic describe ' ottla topic describe ''
ANSWER=':4'; try 'ottla topic describe ' ottla topic describe ''
ANSWER=''; try 'ottla topic describe ' ottla topic describe ''
ANSWER='properties :8'; try 'ottla serve server' ottla serve server
ANSWER=':16'; try 'ottla log verify dat' ottla log verify dat
ANSWER=':6'; heard 'ottla topic create x --config=ret' ottla topic create x --config = ret 2>&1
ANSWER=':4'; heard "ottla -b 127.0.0.1:9 topic describe 'o" ottla -b 127.0.0.1 : 9 topic describe "'o" 2>&1
`
	dir := t.TempDir()
	c := exec.Command(bash, "--norc", "-c", "touch server.properties other.txt; mkdir data server.d\n"+script)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := `complete -o default -F __ottla_complete ottla
topic
orders other
a
topic/orders
retention.ms= retention.bytes=
--config=retention.ms= --config=retention.bytes=
retention.ms= retention.bytes=
0 1



server.d server.properties
data
asked: <__completeNoDesc> <topic> <create> <x> <--config=ret>
compopt -o nospace
compopt +o default
asked: <__completeNoDesc> <-b> <127.0.0.1:9> <topic> <describe> <o>
compopt +o default
`
	if got := strings.ReplaceAll(string(out), "server.properties server.d", "server.d server.properties"); got != want {
		t.Errorf("bash says\n%s\nnot\n%s", got, want)
	}
}

// TestCompletionScripts: each shell has its own, which asks this program.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "fish", "powershell", "zsh"} {
		if got := succeed(t, "", "", "completion", shell); !strings.Contains(got.out, "__complete") || got.err != "" {
			t.Errorf("%s: %d bytes, %q", shell, len(got.out), got.err)
		}
	}
	if got := run(t, "", "", "completion", "tcsh"); got.code != exitUsage || !strings.Contains(got.err, `no completion for "tcsh"`) {
		t.Errorf("exit %d, %s", got.code, got.err)
	}
}
