//! Generates Rust code from `proto/`: the options message that containerd-shim-protos does not include.

fn main() {
    println!("cargo::rerun-if-changed=proto");
    protobuf_codegen::Codegen::new()
        .pure()
        .include("proto")
        .input("proto/runtimeoptions.proto")
        .cargo_out_dir("proto")
        .run_from_script();
}
