.POSIX:
.PHONY: help demo test check bench schemathesis fuzz clean cargo postgres

help:
	@echo 'make demo          start everything with sample data and a private PostgreSQL'
	@echo 'make test          run all tests'
	@echo 'make check         formatting and lints, as CI does'
	@echo 'make bench         run the benchmarks'
	@echo 'make schemathesis  try everything that /openapi.json describes, as each role'
	@echo 'make fuzz          try the query parser with inputs that a machine thinks up, for ten minutes'
	@echo 'make clean         remove what was built'

demo: cargo postgres
	cargo run --release --locked -- dev

test: cargo postgres
	cargo test --locked

check: cargo
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings

bench: cargo postgres
	cargo bench --locked

schemathesis: cargo postgres
	tests/schemathesis.sh

fuzz: cargo
	@cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
	RUSTC_BOOTSTRAP=1 cargo fuzz run query -- -max_total_time=600 -max_len=400

clean: cargo
	cargo clean

cargo:
	@command -v cargo >/dev/null || { echo 'Rust is missing: install it from https://rustup.rs, then try again.' >&2; exit 1; }

postgres:
	@.ci/ensure-postgres
