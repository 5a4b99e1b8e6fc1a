//! The engine against real files and servers: one binary, so that it links once.

mod packs;
