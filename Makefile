# The two commands of the README, and what CI and releases need.
.PHONY: demo test test-full bench watchdog completions

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

# The invoker as a static program, beside `faas`, for images.
watchdog:
	@scripts/watchdog.sh

# The completion scripts that are checked in.
completions:
	@scripts/completions.sh
