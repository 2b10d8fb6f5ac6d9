<?php

// What a request is answered with.
function answer(string $body): string
{
    return $body;
}
