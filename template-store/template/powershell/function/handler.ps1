# Answers a request. $Request: Body, Headers (by lower-case name), Method, Path, Query. What is returned (text, what
# ConvertTo-Json takes, or @{ StatusCode; Headers; Body }) is the answer.
function Handle($Request) {
    return $Request.Body
}
