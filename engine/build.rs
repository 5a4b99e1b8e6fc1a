//! The packs are embedded by a macro that can not tell cargo of a file that was added: this does.

fn main() {
    println!("cargo:rerun-if-changed=../packs");
}
