package cli

import (
	_ "embed" // the script for bash
	"io"

	"github.com/spf13/cobra"
)

// bashCompletion replaces the one that cobra generates, which works only where the package bash-completion is installed and loaded.
//
//go:embed completion.bash
var bashCompletion string

var completionScripts = map[string]func(root *cobra.Command, w io.Writer) error{
	"bash": func(_ *cobra.Command, w io.Writer) error {
		_, err := io.WriteString(w, bashCompletion)
		return err
	},
	"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	"powershell": func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) },
	"zsh":        func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
}

func (s *shell) completionCommand() *cobra.Command {
	shells := inNameOrder(completionScripts)
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print a completion script for bash, fish, powershell or zsh",
		Long: `Print the script that lets a shell complete verbs, flags and their values; topics, groups, settings and their owners are asked of the cluster.

In bash: source <(ottla completion bash). In zsh: ottla completion zsh > "${fpath[1]}/_ottla". In fish: ottla completion fish | source.
In powershell: ottla completion powershell | Out-String | Invoke-Expression. In the shell's start-up file it is there in every session.`,
		Example:           "  echo 'source <(ottla completion bash)' >> ~/.bashrc",
		Args:              arguments(1, 1, "one shell: bash, fish, powershell or zsh"),
		ValidArgsFunction: cobra.FixedCompletions(shells, noFiles),
		RunE: func(c *cobra.Command, args []string) error {
			script, ok := completionScripts[args[0]]
			if !ok {
				return usage("there is no completion for %q, only for bash, fish, powershell and zsh", args[0])
			}
			return script(c.Root(), s.out)
		},
	}
}
