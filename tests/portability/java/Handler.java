import faas.Request;
import faas.Response;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Collectors;

public class Handler {
    public Object handle(Request req) throws Exception {
        String path = req.path();
        Map<String, String> headers = req.headers();
        if (path.startsWith("/inspect")) {
            String query = req.query().entrySet().stream()
                .map(field -> quoted(field.getKey()) + ":" + quoted(field.getValue())).collect(Collectors.joining(","));
            return Response.json("{\"method\":" + quoted(req.method()) + ",\"path\":" + quoted(path) + ",\"query\":{" + query
                + "},\"two\":" + quoted(headers.getOrDefault("x-two", "")) + ",\"cookie\":"
                + quoted(headers.getOrDefault("cookie", "")) + "}");
        }
        switch (path) {
            case "/echo":
                return Response.bytes(req.body()).header("Content-Type", headers.getOrDefault("content-type", "none"));
            case "/status":
                return Response.text(Integer.parseInt(req.query().get("code")), "status " + req.query().get("code"));
            case "/answer":
                return Response.text(Integer.parseInt(req.query().getOrDefault("status", "200")), "b")
                    .header(req.query().getOrDefault("name", "X-Value"), req.query().get("value"));
            case "/redirect":
                return Response.text(302, "").header("Location", "/elsewhere");
            case "/cookies":
                return Response.text("set").header("Set-Cookie", "a=1; Path=/").header("Set-Cookie", "b=2");
            case "/json":
                return Response.json("{\"tax\": 4.7, \"of\": [\"grüß\", null, true]}");
            case "/text":
                return "grüß";
            case "/stream":
                return Response.stream(out -> {
                    for (String word : new String[] {"one\n", "two\n", "three\n"}) {
                        out.write(word.getBytes(StandardCharsets.UTF_8));
                        out.flush();
                        pause(300);
                    }
                });
            case "/error":
                throw new IllegalArgumentException("no subtotal");
            case "/slow":
                pause(500);
                return "slow";
            case "/environment":
                return System.getenv().getOrDefault("PROBE", "none");
            case "/secret":
                String folder = System.getenv().getOrDefault("FAAS_SECRETS_DIR", "/var/openfaas/secrets");
                return Files.readString(Path.of(folder, "portability-key"));
            default:
                return Response.text(404, "no such path");
        }
    }

    private static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }
}
