package faas;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What a handler answers. */
public final class Response {
    /** Writes a body while it is sent. */
    @FunctionalInterface
    public interface Stream {
        /** Writes it; what is flushed is on its way. */
        void writeTo(OutputStream out) throws IOException;
    }

    private final int status;
    private final List<Map.Entry<String, String>> headers = new ArrayList<>();
    private final byte[] body;
    private final Stream stream;

    private Response(int status, String type, byte[] body, Stream stream) {
        this.status = status;
        this.body = body;
        this.stream = stream;
        header("Content-Type", type);
    }

    /** 200 with text. */
    public static Response text(String body) {
        return text(200, body);
    }

    /** Text. */
    public static Response text(int status, String body) {
        return new Response(status, "text/plain; charset=utf-8", body.getBytes(StandardCharsets.UTF_8), null);
    }

    /** 200 with JSON. */
    public static Response json(String body) {
        return new Response(200, "application/json", body.getBytes(StandardCharsets.UTF_8), null);
    }

    /** 200 with bytes. */
    public static Response bytes(byte[] body) {
        return new Response(200, "application/octet-stream", body, null);
    }

    /** 200 with a body that is sent while it is written. */
    public static Response stream(Stream body) {
        return new Response(200, "text/plain; charset=utf-8", null, body);
    }

    /** The same with another status. */
    public Response status(int code) {
        Response other = new Response(code, "", body, stream);
        other.headers.clear();
        other.headers.addAll(headers);
        return other;
    }

    /** Adds a header field, unless its value is null; another Content-Type takes the first one's place. */
    public Response header(String name, String value) {
        if (value == null) {
            return this;
        }
        if (name.equalsIgnoreCase("Content-Type")) {
            headers.removeIf(field -> field.getKey().equalsIgnoreCase(name));
        }
        headers.add(Map.entry(name, value));
        return this;
    }

    /** The status. */
    public int status() {
        return status;
    }

    /** The header fields. */
    public List<Map.Entry<String, String>> headers() {
        return headers;
    }

    /** The body; null when it is streamed. */
    public byte[] body() {
        return body;
    }

    /** What writes the body; null when it is not streamed. */
    public Stream stream() {
        return stream;
    }
}
