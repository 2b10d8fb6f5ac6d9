import faas.Request;
import faas.Response;

public class Handler {
    /** Answers a request. */
    public Response handle(Request req) {
        return Response.text(req.text());
    }
}
