using System;

/// <summary>Run by `faas test`; no part of the function.</summary>
public static class HandlerTest
{
    public static int Main()
    {
        bool same = Handler.Answer(new byte[5]).Length == 5;
        Console.WriteLine(same ? "ok: it answers what it is sent" : "it does not answer what it is sent");
        return same ? 0 : 1;
    }
}
