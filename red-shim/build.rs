//! Turns `proto/` into Rust: the one message that the protocol crate does not carry.

fn main() {
    println!("cargo::rerun-if-changed=proto");
    protobuf_codegen::Codegen::new()
        .pure()
        .include("proto")
        .input("proto/runtimeoptions.proto")
        .cargo_out_dir("proto")
        .run_from_script();
}
