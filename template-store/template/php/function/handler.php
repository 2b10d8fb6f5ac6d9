<?php

// Answers a request. $req: the body, as text. What is returned (text, or anything that JSON can hold) or printed is the
// answer.
function handle(string $req)
{
    return $req;
}
