# The two commands of the README, and what CI and releases need.
.PHONY: demo test test-full bench parity watchdog completions generated

# From nothing to an answering function, as a newcomer would type it.
demo:
	@scripts/demo.sh

# Installs what is missing, starts the real services, runs every test, stops them.
test:
	@tests/run.sh

# The same, and the slow extras.
test-full:
	@FAAS_TEST_FULL=1 tests/run.sh

# Figures side by side with other programs where they are at hand.
bench:
	@scripts/bench.sh

# Runs the real faas-cli (FAAS_CLI, or the test cache) and ours side by side, keeps what the real one did, and writes
# docs/compatibility.md.
parity:
	@FAAS_PARITY_REFRESH=1 cargo test --locked --workspace --test suite parity::

# The invoker as a static program, beside `faas`, for images.
watchdog:
	@scripts/watchdog.sh

# The completion scripts that are checked in.
completions:
	@scripts/completions.sh

# The pages and the schema that are made from the code.
generated:
	@scripts/generated.sh
