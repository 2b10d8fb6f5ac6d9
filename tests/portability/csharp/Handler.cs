using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using System.Threading;
using Faas;

public static class Handler
{
    public static object Handle(Request req)
    {
        if (req.Path.StartsWith("/inspect"))
        {
            string query = string.Join(",", req.Query.Select(field => Quoted(field.Key) + ":" + Quoted(field.Value)));
            return Response.Json("{\"method\":" + Quoted(req.Method) + ",\"path\":" + Quoted(req.Path) + ",\"query\":{" + query
                + "},\"two\":" + Quoted(req.Header("x-two")) + ",\"cookie\":" + Quoted(req.Header("cookie")) + "}");
        }
        switch (req.Path)
        {
            case "/echo":
                return Response.Bytes(req.Body).Header("Content-Type", req.Header("content-type", "none"));
            case "/status":
                return Response.Text("status " + req.Query["code"]).Status(int.Parse(req.Query["code"]));
            case "/answer":
                return Response.Text("b").Status(int.Parse(Of(req, "status") ?? "200")).Header(Of(req, "name") ?? "X-Value", Of(req, "value"));
            case "/redirect":
                return Response.Text("").Status(302).Header("Location", "/elsewhere");
            case "/cookies":
                return Response.Text("set").Header("Set-Cookie", "a=1; Path=/").Header("Set-Cookie", "b=2");
            case "/json":
                return Response.Json("{\"tax\": 4.7, \"of\": [\"grüß\", null, true]}");
            case "/text":
                return "grüß";
            case "/stream":
                return Response.Stream(output =>
                {
                    foreach (string word in new[] { "one\n", "two\n", "three\n" })
                    {
                        byte[] bytes = Encoding.UTF8.GetBytes(word);
                        output.Write(bytes, 0, bytes.Length);
                        output.Flush();
                        Thread.Sleep(300);
                    }
                });
            case "/error":
                throw new InvalidOperationException("no subtotal");
            case "/slow":
                Thread.Sleep(500);
                return "slow";
            case "/environment":
                return Environment.GetEnvironmentVariable("PROBE") ?? "none";
            case "/secret":
                string folder = Environment.GetEnvironmentVariable("FAAS_SECRETS_DIR") ?? "/var/openfaas/secrets";
                return File.ReadAllText(Path.Combine(folder, "portability-key"));
            default:
                return Response.Text("no such path").Status(404);
        }
    }

    private static string Of(Request req, string name)
    {
        string value;
        return req.Query.TryGetValue(name, out value) ? value : null;
    }

    private static string Quoted(string text)
    {
        return '"' + text.Replace("\\", "\\\\").Replace("\"", "\\\"") + '"';
    }
}
