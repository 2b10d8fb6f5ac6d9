using System;
using System.Text;
using Faas;

/// <summary>Run by `faas test`; no part of the function.</summary>
public static class HandlerTest
{
    public static int Main()
    {
        string answer = Encoding.UTF8.GetString(Handler.Handle(Request.Of("hello")).Body);
        Console.WriteLine(answer == "hello" ? "ok: it answers what it is sent" : "it answers " + answer);
        return answer == "hello" ? 0 : 1;
    }
}
