//! Rebuilds the embedded migrations when a file is added: the macro alone sees changed ones only.

fn main() {
    println!("cargo:rerun-if-changed=.");
}
