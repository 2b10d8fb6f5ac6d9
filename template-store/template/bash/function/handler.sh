#!/usr/bin/env bash

# Answers a request: the body is on stdin, and what is printed is the answer.
handle() {
  cat
}
