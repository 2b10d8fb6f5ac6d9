# The two commands of the README, and what CI needs.
.PHONY: test

test:
	cargo test --workspace
