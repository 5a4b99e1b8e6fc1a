//! Actions on real servers and files, driven as the executor drives them.

mod dataset;
mod kit;
mod lab;
mod listed;
mod postgres;
mod space;
