# Run by `faas test`.
. (Join-Path $PSScriptRoot 'handler.ps1')

$answer = Handle ([pscustomobject]@{ Body = 'hello'; Headers = @{}; Method = 'POST'; Path = '/'; Query = @{} })
if ($answer -ne 'hello') {
    [Console]::Error.WriteLine("it answers $answer")
    exit 1
}
'ok: it answers what it is sent'
