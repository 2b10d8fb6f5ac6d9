import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Executors;

public class Handler {
    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(System.getenv("PORT"))), 128);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", Handler::serve);
        server.start();
    }

    private static void serve(HttpExchange exchange) throws IOException {
        try {
            answer(exchange);
        } catch (Exception error) {
            reply(exchange, 500, error.getMessage());
        } finally {
            exchange.close();
        }
    }

    private static void answer(HttpExchange exchange) throws Exception {
        byte[] body = exchange.getRequestBody().readAllBytes();
        String path = exchange.getRequestURI().getPath();
        String query = exchange.getRequestURI().getRawQuery();
        if (path.startsWith("/inspect")) {
            StringBuilder fields = new StringBuilder();
            for (String pair : query == null ? new String[0] : query.split("&")) {
                String[] field = pair.split("=", 2);
                fields.append(fields.length() == 0 ? "" : ",").append(quoted(decoded(field[0]))).append(':').append(quoted(decoded(field[1])));
            }
            String seen = "{\"method\":" + quoted(exchange.getRequestMethod()) + ",\"path\":" + quoted(path) + ",\"query\":{" + fields
                + "},\"two\":" + quoted(header(exchange, "X-Two", ", ")) + ",\"cookie\":" + quoted(header(exchange, "Cookie", "; ")) + "}";
            reply(exchange, 200, seen.getBytes(StandardCharsets.UTF_8), "application/json");
            return;
        }
        switch (path) {
            case "/echo":
                String kind = exchange.getRequestHeaders().getFirst("Content-Type");
                reply(exchange, 200, body, kind == null ? "none" : kind);
                break;
            case "/status":
                reply(exchange, Integer.parseInt(query.substring(5)), "status " + query.substring(5));
                break;
            case "/redirect":
                exchange.getResponseHeaders().set("Location", "/elsewhere");
                reply(exchange, 302, "");
                break;
            case "/cookies":
                exchange.getResponseHeaders().put("Set-Cookie", List.of("a=1; Path=/", "b=2"));
                reply(exchange, 200, "set");
                break;
            case "/json":
                reply(exchange, 200, "{\"tax\": 4.7, \"of\": [\"grüß\", null, true]}".getBytes(StandardCharsets.UTF_8), "application/json");
                break;
            case "/text":
                reply(exchange, 200, "grüß");
                break;
            case "/stream":
                exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
                exchange.sendResponseHeaders(200, 0);
                for (String word : new String[] {"one\n", "two\n", "three\n"}) {
                    exchange.getResponseBody().write(word.getBytes(StandardCharsets.UTF_8));
                    exchange.getResponseBody().flush();
                    Thread.sleep(300);
                }
                break;
            case "/error":
                throw new IllegalArgumentException("no subtotal");
            case "/slow":
                Thread.sleep(500);
                reply(exchange, 200, "slow");
                break;
            case "/environment":
                reply(exchange, 200, System.getenv().getOrDefault("PROBE", "none"));
                break;
            case "/secret":
                String folder = System.getenv().getOrDefault("FAAS_SECRETS_DIR", "/var/openfaas/secrets");
                reply(exchange, 200, Files.readString(Path.of(folder, "portability-key")));
                break;
            default:
                reply(exchange, 404, "no such path");
        }
    }

    private static void reply(HttpExchange exchange, int status, String text) throws IOException {
        reply(exchange, status, text.getBytes(StandardCharsets.UTF_8), "text/plain; charset=utf-8");
    }

    private static void reply(HttpExchange exchange, int status, byte[] body, String kind) throws IOException {
        exchange.getResponseHeaders().set("Content-Type", kind);
        boolean bare = status == 204 || body.length == 0 || exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(status, bare ? -1 : body.length);
        if (!bare) {
            exchange.getResponseBody().write(body);
        }
    }

    private static String header(HttpExchange exchange, String name, String between) {
        return String.join(between, exchange.getRequestHeaders().getOrDefault(name, List.of()));
    }

    private static String decoded(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }
}
