using System;
using System.IO;
using System.Net;
using System.Threading;

public static class Handler
{
    /// <summary>Your own web server: it listens on 127.0.0.1, port $PORT, until it is ended.</summary>
    public static void Serve()
    {
        HttpListener listener = new HttpListener();
        listener.Prefixes.Add("http://127.0.0.1:" + Environment.GetEnvironmentVariable("PORT") + "/");
        listener.Start();
        while (true)
        {
            HttpListenerContext call = listener.GetContext();
            ThreadPool.QueueUserWorkItem(_ =>
            {
                MemoryStream body = new MemoryStream();
                call.Request.InputStream.CopyTo(body);
                byte[] answer = Answer(body.ToArray());
                call.Response.ContentType = "text/plain; charset=utf-8";
                call.Response.ContentLength64 = answer.Length;
                call.Response.OutputStream.Write(answer, 0, answer.Length);
                call.Response.Close();
            });
        }
    }

    /// <summary>What a request is answered with.</summary>
    public static byte[] Answer(byte[] body)
    {
        return body;
    }
}
