import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main classes of Kafka's command-line tools one after another in one JVM, which saves a start for each.
 *
 * <p>A request is one line: the main class, its standard input and its arguments, the latter in base64, with tabs.
 * The answer is one line: exit code, standard output and standard error in base64, with tabs. A tool that has not
 * ended after its limit is answered with TIMEOUT, and this JVM ends.
 */
public final class Tools {
    static final long LIMIT_MS = 60_000;

    static final class Exited extends Error {
        final int code;

        Exited(int code) {
            super("exit " + code, null, false, false);
            this.code = code;
        }
    }

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        AtomicReference<Integer> exit = new AtomicReference<>();
        Exit.Procedure procedure = (code, message) -> {
            if (exit.compareAndSet(null, code) && message != null) System.err.println(message);
            throw new Exited(code);
        };
        Exit.setExitProcedure(procedure);
        Exit.setHaltProcedure(procedure);
        List<Runnable> hooks = Collections.synchronizedList(new ArrayList<>());
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            exit.set(null);
            String[] fields = line.split("\t", -1);
            answer(answers, exit, hooks, fields[0], decode(fields[1]), Arrays.copyOfRange(fields, 2, fields.length));
        }
    }

    static byte[] decode(String text) {
        return Base64.getDecoder().decode(text);
    }

    static void answer(PrintStream answers, AtomicReference<Integer> exit, List<Runnable> hooks, String main, byte[] input, String[] encoded) throws Exception {
        String[] args = new String[encoded.length];
        for (int i = 0; i < args.length; i++) args[i] = new String(decode(encoded[i]), StandardCharsets.UTF_8);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        InputStream stdin = System.in;
        System.setIn(new ByteArrayInputStream(input));
        System.setOut(new PrintStream(out, true, "UTF-8"));
        System.setErr(new PrintStream(err, true, "UTF-8"));
        Thread tool = new Thread(() -> {
            call(exit, main, args);
            hooks.forEach(Runnable::run); // the end of this tool is the end of a JVM to it
            hooks.clear();
        }, main);
        tool.setDaemon(true);
        tool.start();
        tool.join(LIMIT_MS);
        boolean late = tool.isAlive();
        if (late) for (StackTraceElement frame : tool.getStackTrace()) System.err.println("  at " + frame);
        System.out.flush();
        System.err.flush();
        System.setIn(stdin);
        Integer code = exit.get();
        answers.println((late ? "TIMEOUT" : code == null ? "0" : code.toString()) + "\t" + encode(out) + "\t" + encode(err));
        answers.flush();
        if (late) Runtime.getRuntime().halt(3);
    }

    static void call(AtomicReference<Integer> exit, String main, String[] args) {
        try {
            Class.forName(main).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof Exited) return;
            exit.compareAndSet(null, 1);
            e.getCause().printStackTrace();
        } catch (ReflectiveOperationException e) {
            exit.compareAndSet(null, 127);
            e.printStackTrace();
        }
    }

    static String encode(ByteArrayOutputStream bytes) {
        return Base64.getEncoder().encodeToString(bytes.toByteArray());
    }
}
