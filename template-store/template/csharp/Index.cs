// The HTTP server around Handler.cs: C#'s shim between the invoker and the user's function. One thread a connection; the
// invoker keeps as many connections as it has requests in flight.
using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using System.Threading.Tasks;

namespace Faas
{
    internal sealed class Refused : Exception
    {
        internal readonly int Status;

        internal Refused(int status)
        {
            Status = status;
        }
    }

    internal static class Index
    {
        private const int MaxHead = 1024 * 1024;
        private const string Plain = "text/plain; charset=utf-8";
        private static Func<Request, object> handle;

        private static int Main()
        {
            string port = Environment.GetEnvironmentVariable("PORT") ?? "5000";
            Environment.SetEnvironmentVariable("PORT", port);
            Console.SetOut(new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true });
            Type type = typeof(Index).Assembly.GetType("Handler");
            MethodInfo method = type == null ? null : type.GetMethod("Handle", BindingFlags.Public | BindingFlags.Static);
            MethodInfo serve = type == null ? null : type.GetMethod("Serve", Type.EmptyTypes);
            if (method == null && serve != null)
            {
                serve.Invoke(null, null);
                return 0;
            }
            handle = method == null ? null : Shape(method);
            if (handle == null)
            {
                Console.Error.WriteLine("function/Handler.cs has no static class Handler with Handle(Request), Handle(string) or Serve()");
                return 1;
            }
            Listen(int.Parse(port));
            return 0;
        }

        private static Func<Request, object> Shape(MethodInfo method)
        {
            ParameterInfo[] parameters = method.GetParameters();
            if (parameters.Length != 1)
            {
                return null;
            }
            if (parameters[0].ParameterType == typeof(Request))
            {
                return request => method.Invoke(null, new object[] { request });
            }
            return parameters[0].ParameterType == typeof(string) ? request => method.Invoke(null, new object[] { request.Text() }) : (Func<Request, object>)null;
        }

        private static void Listen(int port)
        {
            TcpListener listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start(1024);
            // The invoker ends this process once the calls that it handed over are answered.
            while (true)
            {
                TcpClient client = listener.AcceptTcpClient();
                new Thread(() => Connection(client)) { IsBackground = true }.Start();
            }
        }

        private static void Connection(TcpClient client)
        {
            try
            {
                using (client)
                {
                    client.NoDelay = true;
                    Stream stream = client.GetStream();
                    Reader reader = new Reader(stream);
                    while (Answer(reader, stream))
                    {
                    }
                }
            }
            catch (IOException)
            {
                // The caller has gone; there is nobody to tell.
            }
            catch (Exception error)
            {
                Console.Error.WriteLine(error);
            }
        }

        // Answers one request; whether the connection can take another.
        private static bool Answer(Reader reader, Stream stream)
        {
            string line = reader.Line(MaxHead);
            if (line == null)
            {
                return false;
            }
            Request request;
            string version;
            try
            {
                request = Parse(line, reader, stream, out version);
            }
            catch (Refused refused)
            {
                Send(stream, new Response { StatusCode = refused.Status }, "GET", false, false);
                return false;
            }
            string tokens = request.Header("connection").ToLowerInvariant();
            bool keep = !tokens.Contains("close") && (version == "HTTP/1.1" || tokens.Contains("keep-alive"));
            return Send(stream, Called(request), request.Method, keep, version == "HTTP/1.1");
        }

        private static Response Called(Request request)
        {
            try
            {
                object result = handle(request);
                Task task = result as Task;
                if (task != null)
                {
                    task.GetAwaiter().GetResult();
                    PropertyInfo value = task.GetType().GetProperty("Result");
                    result = value == null ? null : value.GetValue(task, null);
                }
                byte[] bytes = result as byte[];
                return Checked(result as Response ?? (bytes != null ? Response.Bytes(bytes) : Response.Text(Convert.ToString(result))));
            }
            catch (Exception error)
            {
                Exception cause = error is TargetInvocationException ? error.InnerException : error;
                Console.Error.WriteLine(cause);
                return Response.Text(cause.GetType().Name + ": " + cause.Message + "\n").Status(500);
            }
        }

        // Refuses a status that is none, or only says that the answer is to come, and what can't be a header field.
        private static Response Checked(Response response)
        {
            if (response.StatusCode < 200 || response.StatusCode > 999)
            {
                throw new ArgumentException("the status " + response.StatusCode + " is none that an answer can have: 200 to 999 are");
            }
            response.Headers.RemoveAll(field => field.Value == null);
            foreach (KeyValuePair<string, string> field in response.Headers)
            {
                if (!Regex.IsMatch(field.Key ?? "", @"\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\z"))
                {
                    throw new ArgumentException("\"" + field.Key + "\" can't be the name of a header field");
                }
                if (Regex.IsMatch(field.Value, @"[\x00-\x08\x0a-\x1f\x7f]"))
                {
                    throw new ArgumentException("the header field " + field.Key + " holds a line end or another control character");
                }
            }
            return response;
        }

        private static Request Parse(string line, Reader reader, Stream stream, out string version)
        {
            string[] words = line.Split(' ');
            if (words.Length != 3)
            {
                throw new Refused(400);
            }
            version = words[2];
            if (version != "HTTP/1.1" && version != "HTTP/1.0")
            {
                throw new Refused(505);
            }
            Request request = new Request { Method = words[0] };
            string[] target = words[1].Split(new[] { '?' }, 2);
            request.Path = Uri.UnescapeDataString(target[0]);
            foreach (string pair in target.Length < 2 ? new string[0] : target[1].Split(new[] { '&' }, StringSplitOptions.RemoveEmptyEntries))
            {
                string[] field = pair.Replace('+', ' ').Split(new[] { '=' }, 2);
                request.Query[Uri.UnescapeDataString(field[0])] = field.Length < 2 ? "" : Uri.UnescapeDataString(field[1]);
            }
            int size = line.Length;
            while ((line = reader.Line(MaxHead)) != "")
            {
                int colon = line == null ? -1 : line.IndexOf(':');
                if (colon < 1 || line.Substring(0, colon).Trim().Length != colon)
                {
                    throw new Refused(400);
                }
                if ((size += line.Length) > MaxHead)
                {
                    throw new Refused(431);
                }
                string name = line.Substring(0, colon).ToLowerInvariant();
                string value = line.Substring(colon + 1).Trim();
                string have = request.Header(name, null);
                request.Headers[name] = have == null ? value : have + (name == "cookie" ? "; " : ", ") + value;
            }
            request.Body = Body(request, reader, stream);
            return request;
        }

        private static byte[] Body(Request request, Reader reader, Stream stream)
        {
            string coding = request.Header("transfer-encoding", null);
            string length = request.Header("content-length", null);
            int size;
            if (coding == null && length == null)
            {
                return new byte[0];
            }
            if (coding != null && (length != null || !coding.Equals("chunked", StringComparison.OrdinalIgnoreCase)))
            {
                throw new Refused(length != null ? 400 : 501);
            }
            if (request.Header("expect").Equals("100-continue", StringComparison.OrdinalIgnoreCase))
            {
                byte[] go = Encoding.ASCII.GetBytes("HTTP/1.1 100 Continue\r\n\r\n");
                stream.Write(go, 0, go.Length);
            }
            if (length != null)
            {
                if (!int.TryParse(length, System.Globalization.NumberStyles.None, null, out size))
                {
                    throw new Refused(400);
                }
                return reader.Exactly(size);
            }
            MemoryStream whole = new MemoryStream();
            while (true)
            {
                string digits = (reader.Line(MaxHead) ?? "").Split(';')[0].Trim();
                if (!int.TryParse(digits, System.Globalization.NumberStyles.AllowHexSpecifier, null, out size) || size < 0)
                {
                    throw new Refused(400);
                }
                if (size == 0)
                {
                    break;
                }
                whole.Write(reader.Exactly(size), 0, size);
                if (reader.Line(2) != "")
                {
                    throw new Refused(400);
                }
            }
            while (!string.IsNullOrEmpty(reader.Line(MaxHead)))
            {
                // trailers
            }
            return whole.ToArray();
        }

        private static bool Send(Stream stream, Response response, string method, bool keep, bool canChunk)
        {
            int status = response.StatusCode;
            bool streamed = response.Writer != null;
            bool bare = status == 204 || status == 304 || status < 200;
            bool chunked = streamed && canChunk && !bare;
            keep = keep && (chunked || !streamed);
            bool typed = false;
            StringBuilder head = new StringBuilder("HTTP/1.1 " + status + " " + ((HttpStatusCode)status) + "\r\n");
            foreach (KeyValuePair<string, string> field in response.Headers)
            {
                string name = field.Key.ToLowerInvariant();
                typed = typed || name == "content-type";
                if (name != "content-length" && name != "transfer-encoding" && name != "connection")
                {
                    head.Append(field.Key + ": " + field.Value + "\r\n"); // those are the server's
                }
            }
            head.Append(typed ? "" : "Content-Type: " + response.Kind + "\r\n");
            head.Append(chunked ? "Transfer-Encoding: chunked\r\n" : streamed || bare ? "" : "Content-Length: " + response.Body.Length + "\r\n");
            head.Append(keep ? "\r\n" : "Connection: close\r\n\r\n");
            byte[] top = Encoding.UTF8.GetBytes(head.ToString());
            stream.Write(top, 0, top.Length);
            if (bare || method == "HEAD")
            {
                return keep;
            }
            if (!streamed)
            {
                stream.Write(response.Body, 0, response.Body.Length);
                return keep;
            }
            using (Chunks chunks = new Chunks(stream, chunked))
            {
                response.Writer(chunks);
            }
            return keep;
        }
    }

    // What was read of a connection and not used yet.
    internal sealed class Reader
    {
        private readonly Stream stream;
        private readonly byte[] buffer = new byte[64 * 1024];
        private int at, end;

        internal Reader(Stream stream)
        {
            this.stream = stream;
        }

        internal string Line(int most)
        {
            StringBuilder line = new StringBuilder();
            while (true)
            {
                if (at == end)
                {
                    at = 0;
                    end = stream.Read(buffer, 0, buffer.Length);
                    if (end == 0)
                    {
                        return null;
                    }
                }
                char c = (char)buffer[at++];
                if (c == '\n')
                {
                    return line.ToString().TrimEnd('\r');
                }
                line.Append(c);
                if (line.Length > most)
                {
                    throw new Refused(431);
                }
            }
        }

        internal byte[] Exactly(int size)
        {
            byte[] whole = new byte[size];
            int have = Math.Min(size, end - at);
            Array.Copy(buffer, at, whole, 0, have);
            at += have;
            while (have < size)
            {
                int n = stream.Read(whole, have, size - have);
                if (n == 0)
                {
                    throw new IOException("the body ended early");
                }
                have += n;
            }
            return whole;
        }
    }

    // Sends what was written at each flush.
    internal sealed class Chunks : MemoryStream
    {
        private readonly Stream stream;
        private readonly bool chunked;

        internal Chunks(Stream stream, bool chunked)
        {
            this.stream = stream;
            this.chunked = chunked;
        }

        public override void Flush()
        {
            if (Length == 0)
            {
                return;
            }
            Put(chunked ? Length.ToString("x") + "\r\n" : "");
            WriteTo(stream);
            Put(chunked ? "\r\n" : "");
            SetLength(0);
        }

        protected override void Dispose(bool disposing)
        {
            Flush();
            Put(chunked ? "0\r\n\r\n" : "");
            base.Dispose(disposing);
        }

        private void Put(string text)
        {
            byte[] bytes = Encoding.ASCII.GetBytes(text);
            stream.Write(bytes, 0, bytes.Length);
        }
    }
}
