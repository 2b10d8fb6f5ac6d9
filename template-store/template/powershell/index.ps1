# The HTTP server around handler.ps1: PowerShell's shim between the invoker and the user's function. Requests are handled by
# a pool of runspaces, each with a handler of its own.
$ErrorActionPreference = 'Stop'
$port = if ($env:PORT) { $env:PORT } else { '5000' }
$env:PORT = $port

$answer = {
    param($call, $handler)
    $ErrorActionPreference = 'Stop'
    $response = $call.Response
    try {
        if (-not (Get-Command -Name Handle -CommandType Function -ErrorAction SilentlyContinue)) { . $handler }
        $reader = [System.IO.StreamReader]::new($call.Request.InputStream, [System.Text.Encoding]::UTF8)
        $headers = @{}
        foreach ($name in $call.Request.Headers.AllKeys) { $headers[$name.ToLowerInvariant()] = $call.Request.Headers[$name] }
        $query = @{}
        foreach ($name in $call.Request.QueryString.AllKeys) { if ($name) { $query[$name] = $call.Request.QueryString[$name] } }
        $request = [pscustomobject]@{
            Body = $reader.ReadToEnd(); Headers = $headers; Method = $call.Request.HttpMethod
            Path = [uri]::UnescapeDataString($call.Request.Url.AbsolutePath); Query = $query
        }
        $result = Handle $request
        $body = $result
        $response.ContentType = 'text/plain; charset=utf-8'
        if ($result -is [hashtable] -and ($result.ContainsKey('StatusCode') -or $result.ContainsKey('Body'))) {
            if ($null -ne $result.StatusCode) {
                $status = [int]$result.StatusCode
                if ($status -lt 200 -or $status -gt 999) { throw "the status $status is none that an answer can have: 200 to 999 are" }
                $response.StatusCode = $status
            }
            $body = $result.Body
            foreach ($name in @($result.Headers.Keys)) {
                foreach ($value in @($result.Headers[$name]).Where({ $null -ne $_ })) {
                    if ($name -eq 'Content-Type') { $response.ContentType = $value } else { $response.AppendHeader($name, $value) }
                }
            }
        }
        if ($null -eq $body) { $body = '' }
        if ($body -isnot [string]) {
            $body = ConvertTo-Json -InputObject $body -Depth 20 -Compress
            if (-not ($result -is [hashtable] -and $result.Headers -and $result.Headers['Content-Type'])) { $response.ContentType = 'application/json' }
        }
    } catch {
        [Console]::Error.WriteLine(($_ | Out-String))
        $response.StatusCode = 500
        $response.ContentType = 'text/plain; charset=utf-8'
        $body = "$($_.Exception.Message)`n"
    }
    try {
        $bytes = [System.Text.Encoding]::UTF8.GetBytes($body)
        $response.ContentLength64 = $bytes.Length
        if ($call.Request.HttpMethod -ne 'HEAD') { $response.OutputStream.Write($bytes, 0, $bytes.Length) }
        $response.Close()
    } catch {
        [Console]::Error.WriteLine("the caller has gone: $($_.Exception.Message)")
    }
}

$handler = Join-Path $PSScriptRoot 'function/handler.ps1'
. $handler
if (-not (Get-Command -Name Handle -CommandType Function -ErrorAction SilentlyContinue)) {
    [Console]::Error.WriteLine('function/handler.ps1 defines no function Handle')
    exit 1
}
$pool = [runspacefactory]::CreateRunspacePool(1, 64)
$pool.Open()
$listener = [System.Net.HttpListener]::new()
$listener.Prefixes.Add("http://127.0.0.1:$port/")
$listener.Start()
while ($listener.IsListening) {
    $call = $listener.GetContext()
    $shell = [powershell]::Create()
    $shell.RunspacePool = $pool
    [void]$shell.AddScript($answer).AddArgument($call).AddArgument($handler).BeginInvoke()
}
