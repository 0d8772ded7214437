# Recipes for people; .ci/run runs the same commands.

# What there is.
default:
    @just --list

# All that must hold before a change goes in.
ci:
    .ci/run

# The tests that need nothing but this checkout.
test *arguments:
    cargo test --locked {{arguments}}

# All tests; installs the mail servers and verifiers they need.
test-all *arguments:
    tests/run-all {{arguments}}

# Formatting and lints, with both backends.
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    cargo clippy --locked --all-targets --no-default-features --features ring -- -D warnings

# The library's tests with the other backend.
test-ring:
    cargo test --locked --lib --no-default-features --features ring

# Licences, advisories, duplicates and sources of the dependencies.
deny:
    cargo deny --locked check

# The generated pages of docs/, written anew.
docs:
    UPDATE_DOCS=1 cargo test --locked --test config

# The documentation of the library.
doc:
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --document-private-items

# Canonicalisation, body hashing and signing.
bench:
    cargo bench --locked
