package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// toolRunner is one JVM that runs Kafka's tools one after another (drivers/tools/Tools.java).
type toolRunner struct {
	t    *targets
	path string // class path
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

type toolOutput struct {
	exit   string
	stdout string
	stderr string
}

func newToolRunner(ctx context.Context, t *targets, name string) (*toolRunner, error) {
	if err := t.missing("java/tools-4.3.1"); err != nil {
		return nil, err
	}
	path, err := t.compileJava(ctx, filepath.Join(t.root, "test/compat/drivers/tools/Tools.java"), "java/tools-4.3.1", "tools")
	if err != nil {
		return nil, err
	}
	r := &toolRunner{t: t, path: path, name: name}
	return r, r.start()
}

func (r *toolRunner) start() error {
	args := append(append([]string{}, javaFlags...), "-Duser.timezone=UTC", "-Duser.language=en", "-cp", r.path, "Tools")
	r.cmd = exec.Command("java", args...)
	log, err := os.OpenFile(filepath.Join(r.t.scratch, "tools-"+r.name+".err"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	r.cmd.Stderr = log
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	r.out = bufio.NewReaderSize(out, 1<<20)
	return r.cmd.Start()
}

// run calls one tool. A tool that hangs costs its limit; the JVM is replaced.
func (r *toolRunner) run(class, stdin string, args ...string) (toolOutput, error) {
	fields := []string{class, base64.StdEncoding.EncodeToString([]byte(stdin))}
	for _, a := range args {
		fields = append(fields, base64.StdEncoding.EncodeToString([]byte(a)))
	}
	if _, err := io.WriteString(r.in, strings.Join(fields, "\t")+"\n"); err != nil {
		return toolOutput{}, fmt.Errorf("ask the tools' JVM: %w", err)
	}
	line, err := r.out.ReadString('\n')
	if err != nil {
		return toolOutput{}, fmt.Errorf("the tools' JVM ended while %s ran: %w", class, err)
	}
	parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
	if len(parts) != 3 {
		return toolOutput{}, fmt.Errorf("the tools' JVM answered %q", line)
	}
	decode := func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return fmt.Sprintf("undecodable: %v", err)
		}
		return string(b)
	}
	o := toolOutput{exit: parts[0], stdout: decode(parts[1]), stderr: decode(parts[2])}
	if o.exit == "TIMEOUT" {
		r.cmd.Wait()
		if err := r.start(); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (r *toolRunner) close() {
	r.in.Close()
	done := make(chan struct{})
	go func() { defer close(done); r.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		r.cmd.Process.Kill()
		<-done
	}
}
