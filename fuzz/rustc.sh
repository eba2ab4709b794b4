#!/bin/sh
# Stands before the compiler (RUSTC_WRAPPER): our crates are built so that the fuzzer sees which branches a text takes.
rustc=$1
shift
case " $* " in
*" --crate-name portcullis_"*)
    exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$rustc" "$@"
