# keyhole: `make run` shows it, `make test` proves it. Both install what is missing.
#   make run [SOURCE=clip.mp4] [ARGS="--overlay fill"]     make bench     make long
.PHONY: run test test-gpu setup setup-test build bench bench-peers long test-reference

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

# Everything that can run on a GPU, on this machine's; without one it fails. Fetches about 1.2 GB.
test-gpu: export RUSTC_WORKSPACE_WRAPPER = clippy-driver
test-gpu: export CLIPPY_ARGS = -Dwarnings__CLIPPY_HACKERY__
test-gpu: export KEYHOLE_NEEDS_GPU = 1
test-gpu: setup-test
	hw/install.sh cuda
	cargo test --release --locked --lib -- --nocapture cuda:: tensorrt::
	cargo test --release --locked --test it -- --nocapture cuda::

# Times of single pieces, the whole frame path with its allocations, and the tracker against the simulator's truth.
bench: setup-test
	cargo test --release --locked --lib -- --ignored --nocapture --test-threads=1 time
	cargo bench --locked --bench pieces
	cargo bench --locked --bench frame_path
	cargo bench --locked --bench tracker

# keyhole beside what a user would build instead. Installs the peers (about 1.2 GB) for this only.
bench-peers: build
	python3 -m venv .setup/peers && .setup/peers/bin/pip install -q -r benches/peers/requirements.txt
	cargo bench --locked --bench floor --no-run
	benches/peers/compare.py

# The values that keyhole's metrics are held to, made anew by the libraries that they come from (about 6 GB) and compared.
test-reference: setup-test
	python3 -m venv .setup/reference && .setup/reference/bin/pip install -q -r tests/reference/requirements.txt
	.setup/reference/bin/python tests/reference/reference.py target/reference
	for made in target/reference/*.json; do diff -q "$$made" "tests/reference/$${made##*/}" || exit 1; done
	cargo test --release --locked --test it reference::

# Soaks: the report's table at full length, 100 kills and 100 stops of the AI process, a camera unplugged 100 times.
long: setup-test
	cargo build --release --locked
	hw/soak.sh
	cargo test --release --locked --lib -- --ignored --nocapture --test-threads=1 a_hundred_times
