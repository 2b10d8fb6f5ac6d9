// What Handler.cs is called with, and what it may answer.
using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace Faas
{
    /// <summary>One HTTP request.</summary>
    public sealed class Request
    {
        public string Method = "POST";
        public string Path = "/";
        public byte[] Body = new byte[0];
        public Dictionary<string, string> Query = new Dictionary<string, string>();

        /// <summary>By name in any case; a repeated one is joined by commas.</summary>
        public Dictionary<string, string> Headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);

        /// <summary>For tests.</summary>
        public static Request Of(string body)
        {
            return new Request { Body = Encoding.UTF8.GetBytes(body) };
        }

        /// <summary>The body as text.</summary>
        public string Text()
        {
            return Encoding.UTF8.GetString(Body);
        }

        /// <summary>A header, or what stands in its place.</summary>
        public string Header(string name, string otherwise = "")
        {
            string value;
            return Headers.TryGetValue(name, out value) ? value : otherwise;
        }
    }

    /// <summary>An answer.</summary>
    public sealed class Response
    {
        public int StatusCode = 200;
        public byte[] Body = new byte[0];
        public Action<System.IO.Stream> Writer;
        public List<KeyValuePair<string, string>> Headers = new List<KeyValuePair<string, string>>();
        internal string Kind = "text/plain; charset=utf-8";

        public static Response Text(string body)
        {
            return new Response { Body = Encoding.UTF8.GetBytes(body) };
        }

        /// <summary>JSON that is written already, by a library of your choice.</summary>
        public static Response Json(string json)
        {
            return new Response { Body = Encoding.UTF8.GetBytes(json), Kind = "application/json" };
        }

        public static Response Bytes(byte[] body)
        {
            return new Response { Body = body, Kind = "application/octet-stream" };
        }

        /// <summary>What is written is sent at each Flush.</summary>
        public static Response Stream(Action<System.IO.Stream> writer)
        {
            return new Response { Writer = writer };
        }

        public Response Status(int code)
        {
            StatusCode = code;
            return this;
        }

        public Response Header(string name, string value)
        {
            Headers.Add(new KeyValuePair<string, string>(name, value));
            return this;
        }
    }
}
