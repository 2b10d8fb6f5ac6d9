// The HTTP server around Handler.java: java's shim between the invoker and the user's function.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import faas.Context;
import faas.Request;
import faas.Response;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.atomic.AtomicInteger;

/** Serves Handler.handle on $PORT. */
public final class Index {
    /** A shape of handle, called. */
    private interface Call {
        Object on(Request request) throws ReflectiveOperationException;
    }

    private static final int MAX_HEAD = 1024 * 1024;
    private static final AtomicInteger BUSY = new AtomicInteger();
    private static volatile boolean stopping = false;

    public static void main(String[] arguments) throws Exception {
        String port = System.getenv().getOrDefault("PORT", "5000");
        Class<?> type = Class.forName("Handler");
        Method handle = Arrays.stream(type.getMethods())
            .filter(method -> method.getName().equals("handle") && !method.isBridge()).findFirst().orElse(null);
        if (handle == null) {
            try {
                type.getMethod("main", String[].class).invoke(null, (Object) arguments);
            } catch (NoSuchMethodException missing) {
                System.err.println("function/Handler.java has no public handle(Request), handle(String) nor main(String[])");
                System.exit(1);
            }
            return;
        }
        serve(shape(type, handle), Integer.parseInt(port));
    }

    private static Call shape(Class<?> type, Method handle) throws Exception {
        Object self = type.getDeclaredConstructor().newInstance();
        Class<?>[] parameters = handle.getParameterTypes();
        String name = System.getenv().getOrDefault("OPENFAAS_NAME", "");
        Context context = new Context(name, host());
        boolean text = parameters.length >= 1 && parameters[0] == String.class;
        if (parameters.length == 1) {
            return request -> handle.invoke(self, text ? request.text() : request);
        }
        return request -> handle.invoke(self, text ? request.text() : request, context);
    }

    /** This machine's name: in a container nobody may have told its own name service of it. */
    private static String host() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException unnamed) {
            return System.getenv().getOrDefault("HOSTNAME", "");
        }
    }

    private static void serve(Call call, int port) throws IOException {
        System.setProperty("sun.net.httpserver.maxReqHeaderSize", String.valueOf(MAX_HEAD));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 1024);
        ThreadFactory daemons = work -> {
            Thread thread = new Thread(work);
            thread.setDaemon(true);
            return thread;
        };
        server.setExecutor(Executors.newCachedThreadPool(daemons));
        server.createContext("/", exchange -> {
            BUSY.incrementAndGet();
            try {
                answer(exchange, call);
            } catch (IOException gone) {
                // The caller has gone; there is nobody to tell.
            } catch (RuntimeException error) {
                error.printStackTrace();
            } finally {
                exchange.close();
                BUSY.decrementAndGet();
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            try {
                while (BUSY.get() > 0) {
                    Thread.sleep(10);
                }
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
            server.stop(0);
            System.err.flush();
            Runtime.getRuntime().halt(0);
        }));
        server.start();
    }

    private static void answer(HttpExchange exchange, Call call) throws IOException {
        Response response;
        try {
            Object result = call.on(read(exchange));
            if (result instanceof Response) {
                response = (Response) result;
            } else if (result instanceof byte[]) {
                response = Response.bytes((byte[]) result);
            } else {
                response = Response.text(result == null ? "" : result.toString());
            }
            check(response);
        } catch (InvocationTargetException error) {
            response = failed(error.getCause());
        } catch (ReflectiveOperationException | RuntimeException error) {
            response = failed(error);
        }
        send(exchange, response);
    }

    /** Refuses a status that is none, or only says that the answer is to come, and what can't be a header field. */
    private static void check(Response response) {
        if (response.status() < 200 || response.status() > 999) {
            throw new IllegalArgumentException("the status " + response.status() + " is none that an answer can have: 200 to 999 are");
        }
        for (Map.Entry<String, String> field : response.headers()) {
            if (!field.getKey().matches("[!#$%&'*+.^_`|~0-9A-Za-z-]+")) {
                throw new IllegalArgumentException("\"" + field.getKey() + "\" can't be the name of a header field");
            }
            if (field.getValue().chars().anyMatch(c -> c < ' ' && c != '\t' || c == 0x7f)) {
                throw new IllegalArgumentException("the header field " + field.getKey() + " holds a line end or another control character");
            }
        }
    }

    private static Response failed(Throwable error) {
        error.printStackTrace();
        return Response.text(500, error.getClass().getSimpleName() + ": " + error.getMessage() + "\n");
    }

    private static Request read(HttpExchange exchange) throws IOException {
        Map<String, String> headers = new HashMap<>();
        exchange.getRequestHeaders().forEach((name, values) ->
            headers.put(name, String.join(name.equalsIgnoreCase("cookie") ? "; " : ", ", values)));
        Map<String, String> query = new LinkedHashMap<>();
        String raw = exchange.getRequestURI().getRawQuery();
        for (String pair : raw == null ? new String[0] : raw.split("&")) {
            if (!pair.isEmpty()) {
                String[] sides = pair.split("=", 2);
                query.put(decoded(sides[0]), sides.length > 1 ? decoded(sides[1]) : "");
            }
        }
        byte[] body = exchange.getRequestBody().readAllBytes();
        return new Request(exchange.getRequestMethod(), exchange.getRequestURI().getPath(), query, headers, body);
    }

    private static String decoded(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    private static void send(HttpExchange exchange, Response response) throws IOException {
        for (Map.Entry<String, String> field : response.headers()) {
            // The others are the server's.
            if (!field.getKey().matches("(?i)content-length|transfer-encoding|connection")) {
                // The server writes the low byte of each character: these are the bytes of UTF-8.
                String bytes = new String(field.getValue().getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
                exchange.getResponseHeaders().add(field.getKey(), bytes);
            }
        }
        if (stopping) {
            exchange.getResponseHeaders().set("Connection", "close");
        }
        int status = response.status();
        boolean silent = status == 204 || status == 304 || exchange.getRequestMethod().equals("HEAD");
        if (silent) {
            exchange.sendResponseHeaders(status, -1);
        } else if (response.stream() != null) {
            exchange.sendResponseHeaders(status, 0); // 0 is: in chunks
            try (OutputStream out = exchange.getResponseBody()) {
                out.flush();
                response.stream().writeTo(out);
            }
        } else {
            byte[] body = response.body();
            exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
            if (body.length > 0) {
                exchange.getResponseBody().write(body);
            }
        }
    }
}
