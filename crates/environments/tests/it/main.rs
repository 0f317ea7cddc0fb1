//! Models on the environments of this crate.

mod arena;
mod kernels;
mod libkernel;
mod live_mapper;
mod mapper;
