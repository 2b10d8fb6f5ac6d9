using Faas;

public static class Handler
{
    /// <summary>Answers a request.</summary>
    public static Response Handle(Request req)
    {
        return Response.Text(req.Text());
    }
}
