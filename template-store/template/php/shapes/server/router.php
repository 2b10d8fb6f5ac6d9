<?php

require_once __DIR__ . '/answer.php';

header('Content-Type: text/plain; charset=utf-8');
echo answer(file_get_contents('php://input'));
