# Looks for mistakes in the handler before it is deployed.
$errors = $null
$path = Join-Path $PSScriptRoot 'function/handler.ps1'
[void][System.Management.Automation.Language.Parser]::ParseFile($path, [ref]$null, [ref]$errors)
foreach ($one in $errors) {
    [Console]::Error.WriteLine("function/handler.ps1:$($one.Extent.StartLineNumber): $($one.Message)")
}
exit [int]($errors.Count -gt 0)
