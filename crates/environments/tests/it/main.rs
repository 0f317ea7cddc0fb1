//! Models on the environments of this crate.

mod arena;
mod kernels;
mod libkernel;
mod mapper;
