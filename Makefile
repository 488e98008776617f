# keyhole: `make run` shows it, `make test` proves it. Both install what is missing.
#   make run [SOURCE=clip.mp4] [ARGS="--overlay fill"]     make bench     make long
.PHONY: run test setup setup-test build lint bench long clean

export CARGO_TERM_COLOR ?= auto
KEYHOLE := target/release/keyhole

run: build
	@hw/run.sh "$(SOURCE)" $(ARGS)

setup:
	@hw/install.sh

setup-test:
	@hw/install.sh test

build: setup
	cargo build --release --locked

# One profile and one compiler wrapper: lints and tests share their build, the dependencies are built once.
test: export RUSTC_WORKSPACE_WRAPPER = clippy-driver
test: export CLIPPY_ARGS = -Dwarnings__CLIPPY_HACKERY__
test: setup-test
	cargo fmt --check
	cargo build --release --locked --all-targets
	cargo test --release --locked

# Times of single pieces (conversion, drawing, preprocessing, decoding, presenting), one after the other.
bench: setup-test
	cargo test --release --locked --lib -- --ignored --nocapture --test-threads=1 time

# Soaks: the report's table at full length, 100 kills and 100 stops of the AI process, a camera unplugged 100 times.
long: setup-test
	cargo build --release --locked
	hw/soak.sh
	cargo test --release --locked --lib -- --ignored --nocapture --test-threads=1 a_hundred_times
