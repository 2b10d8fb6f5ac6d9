package faas;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;

/** One HTTP request. */
public final class Request {
    private final String method;
    private final String path;
    private final Map<String, String> query;
    private final Map<String, String> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    private final byte[] body;

    /** A request of these parts. */
    public Request(String method, String path, Map<String, String> query, Map<String, String> headers, byte[] body) {
        this.method = method;
        this.path = path;
        this.query = query;
        this.headers.putAll(headers);
        this.body = body;
    }

    /** A POST to / with this body, for tests. */
    public static Request of(String body) {
        return new Request("POST", "/", Map.of(), Map.of(), body.getBytes(StandardCharsets.UTF_8));
    }

    /** As POST. */
    public String method() {
        return method;
    }

    /** The path, decoded. */
    public String path() {
        return path;
    }

    /** The parameters of the query; of one that comes twice, the last. */
    public Map<String, String> query() {
        return query;
    }

    /** The header fields, by name in any case; a repeated one is joined by commas. */
    public Map<String, String> headers() {
        return headers;
    }

    /** The body. */
    public byte[] body() {
        return body;
    }

    /** The body as text. */
    public String text() {
        return new String(body, StandardCharsets.UTF_8);
    }
}
